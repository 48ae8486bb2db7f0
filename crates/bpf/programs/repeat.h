/* Doing something up to so many times, until it returns other than 0: by the kernel (bpf_loop, from 5.17), or by a loop that the verifier
 * follows turn by turn, which must therefore be short. A program with the first cannot even be offered to a kernel without it. */
#ifndef OOMSCOPE_REPEAT_H
#define OOMSCOPE_REPEAT_H

#ifdef WITHOUT_BPF_LOOP

/* The verifier follows at most 8192 branches in a row (BPF_COMPLEXITY_LIMIT_JMP_SEQ). */
#define MAX_TURNS 512
#define turn inlined
#define repeat(function, context)                                                                                                        \
	for (__u32 turn_ = 0; turn_ < MAX_TURNS; turn_++)                                                                                 \
		if (function(turn_, context))                                                                                             \
			break

#else

#define MAX_TURNS (1 << 16)
#define turn static __attribute__((noinline))
#define repeat(function, context) bpf_loop(MAX_TURNS, function, context, 0)

#endif
#endif
