// func dump(): writes the caller's registers (ip, sp, bp) and the top of its stack to standard output.
TEXT ·dump(SB), 4, $0-0
	MOVQ 0(SP), AX
	MOVQ AX, ·registers+0(SB)
	LEAQ 8(SP), AX
	MOVQ AX, ·registers+8(SB)
	MOVQ BP, ·registers+16(SB)
	MOVQ $1, AX
	MOVQ $1, DI
	LEAQ ·registers(SB), SI
	MOVQ $24, DX
	SYSCALL
	// Ends short at the end of the stack.
	MOVQ $1, AX
	MOVQ $1, DI
	LEAQ 8(SP), SI
	MOVQ $65536, DX
	SYSCALL
	RET
