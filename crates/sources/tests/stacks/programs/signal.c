// As deep.c, from within the handler of a signal that interrupted a function.
#include <signal.h>
#include <stdint.h>
#include <unistd.h>

static volatile int sink;

static void handler(int number) {
    uint64_t registers[3];
    __asm__ volatile("leaq 0(%%rip), %0\n movq %%rsp, %1\n movq %%rbp, %2"
                     : "=&r"(registers[0]), "=&r"(registers[1]), "=&r"(registers[2]));
    if (write(1, registers, sizeof registers) < 0) _exit(number);
    if (write(1, (void *)registers[1], 1 << 16) < 0) _exit(number);
    for (;;) pause();
}

// Its first instruction is the one that is interrupted.
void interrupted(void);
__asm__(".text\n.type interrupted, @function\ninterrupted:\n.cfi_startproc\nud2\nret\n.cfi_endproc\n.size interrupted, .-interrupted\n");

__attribute__((noinline)) static int work(int number) {
    interrupted();
    return sink + number;
}

int main(void) {
    signal(SIGILL, handler);
    return work(1) + sink;
}
