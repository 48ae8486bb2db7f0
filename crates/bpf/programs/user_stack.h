/* The current task's stack in user space: registers, and a copy of memory to unwind later, where tables for that are at hand. */
#ifndef OOMSCOPE_USER_STACK_H
#define OOMSCOPE_USER_STACK_H

/* What is copied at once. A piece lies within one page, so that a page that is not there costs no more than itself. */
#define PIECE 1024

/* Of x86-64 without KASAN, as 5.10 and 5.11 to 5.14 are run; newer ones have bpf_task_pt_regs(). */
#define OLD_THREAD_SIZE (16 * 1024)

/* NULL for a kernel thread, and where the kernel is too old to tell. */
inlined struct pt_regs *user_registers(struct task_struct *current)
{
	if (BPF_CORE_READ(current, flags) & PF_KTHREAD)
		return NULL;
	if (bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_task_pt_regs))
		return (struct pt_regs *)bpf_task_pt_regs(bpf_get_current_task_btf());
#if defined(__TARGET_ARCH_x86)
	return BPF_CORE_READ(current, stack) + OLD_THREAD_SIZE - sizeof(struct pt_regs);
#else
	return NULL;
#endif
}

/* The registers are of user space, not of the kernel working for it. */
inlined bool in_user_mode(const struct pt_regs *regs)
{
#if defined(__TARGET_ARCH_x86)
	return (regs->cs & 3) == 3;
#else
	return (regs->pstate & 0xf) == 0;
#endif
}

inlined void fill_registers(struct registers *to, const struct pt_regs *regs)
{
#if defined(__TARGET_ARCH_x86)
	to->ip = regs->ip;
	to->sp = regs->sp;
	to->bp = regs->bp;
	to->lr = 0;
#else
	to->ip = regs->pc;
	to->sp = regs->sp;
	to->bp = regs->regs[29];
	to->lr = regs->regs[30];
#endif
}

inlined void fill_registers_of(struct registers *to, struct task_struct *current)
{
	struct pt_regs regs = {};
	struct pt_regs *saved = user_registers(current);
	to->ip = to->sp = to->bp = to->lr = 0;
	if (saved && !bpf_probe_read_kernel(&regs, sizeof(regs), saved) && in_user_mode(&regs))
		fill_registers(to, &regs);
}

inlined __u64 tls_base(struct task_struct *current)
{
#if defined(__TARGET_ARCH_x86)
	return BPF_CORE_READ(current, thread.fsbase);
#else
	return BPF_CORE_READ(current, thread.uw.tp_value);
#endif
}

inlined __u64 copy_start(__u64 sp)
{
	return sp & ~(__u64)(PIECE - 1);
}

/* How many bytes could be copied: what is not in memory ends it. */
inlined __u64 copy_stack(__u8 *to, __u64 start, __u32 pieces)
{
	__u64 copied = 0;
	if (!start)
		return 0;
	for (__u32 i = 0; i < pieces; i++) {
		if (bpf_probe_read_user(to + i * PIECE, PIECE, (void *)(start + i * PIECE)))
			break;
		copied += PIECE;
	}
	return copied;
}

#endif
