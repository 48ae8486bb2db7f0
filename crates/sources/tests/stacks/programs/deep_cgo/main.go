// Go that calls C, which runs on another stack and hands that out as deep.c does.
package main

/*
#include <stdint.h>
#include <unistd.h>

static int __attribute__((noinline)) capture(void) {
    uint64_t registers[3];
    __asm__ volatile("leaq 0(%%rip), %0\n movq %%rsp, %1\n movq %%rbp, %2"
                     : "=&r"(registers[0]), "=&r"(registers[1]), "=&r"(registers[2]));
    if (write(1, registers, sizeof registers) < 0) _exit(1);
    if (write(1, (void *)registers[1], 1 << 16) < 0) _exit(1);
    for (;;) pause();
}
*/
import "C"

//go:noinline
func load(depth int) int {
	if depth > 0 {
		return load(depth-1) + 1
	}
	return int(C.capture())
}

func main() { load(2) }
