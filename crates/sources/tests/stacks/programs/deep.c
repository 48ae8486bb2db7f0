// Calls three functions deep, hands out its own registers and the top of its stack on standard output, and waits to be killed.
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

static volatile int sink;

__attribute__((noinline)) static void capture(void) {
    uint64_t registers[3];
    __asm__ volatile("leaq 0(%%rip), %0\n movq %%rsp, %1\n movq %%rbp, %2"
                     : "=&r"(registers[0]), "=&r"(registers[1]), "=&r"(registers[2]));
    if (write(1, registers, sizeof registers) < 0) _exit(1);
    // Ends short at the end of the stack.
    if (write(1, (void *)registers[1], 1 << 16) < 0) _exit(1);
    for (;;) pause();
}

__attribute__((noinline)) static int allocate(int size) {
    capture();
    return sink + size;
}

static inline __attribute__((always_inline)) int inlined(int size) { return allocate(size) * 3; }

__attribute__((noinline)) static int parse(int size) {
    volatile char on_stack[300];
    on_stack[size % 300] = 1;
    int sum = inlined(size + on_stack[0]);
    return sum + on_stack[size % 300];
}

// The stack is aligned anew and its size is not known to the compiler.
__attribute__((noinline)) static int load(int size) {
    volatile char aligned[64] __attribute__((aligned(64)));
    volatile char *variable = __builtin_alloca(size);
    aligned[0] = variable[0] = 1;
    return parse(size) + aligned[0] + variable[0];
}

int main(void) { return load(123) + sink; }
