/* What the kernel knows in the instant of an OOM kill.
 *
 * mark_victim() marks each process that the kernel kills, and is a tracepoint: each of its calls gives one record. Where the kernel lets a
 * program enter oom_kill_process(), the record of the process that was chosen comes from there: earlier (before the kernel prints its
 * report, and before the victim gets its signal) and with the kernel's own oom_control; the others of its group still come from mark_victim.
 */
#include "kernel.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_core_read.h>
#include "wire.h"

char LICENSE[] SEC("license") = "GPL";

/* Has to hold what comes before user space has read it: some 80 kills with a stack and a short list of tasks each. */
#define BUFFER_BYTES (2 << 20)
/* Of that only for the records of kills themselves: stacks and tasks are given up first. */
#define KEPT_FOR_KILLS (512 << 10)
/* A kill less than this after the last one for the same task comes from the same call (a group, or a limit still exceeded). */
#define SAME_CALL_NS 2000000ULL
#define MAX_RANGES 8
#define SEARCHED_FRAMES 20

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, BUFFER_BYTES);
} events SEC(".maps");

struct kill_losses lost = {};

/* Functions that a kill by a cgroup's limit passes through, and that every kill passes through; unknown where start is 0. From
 * /proc/kallsyms, whose addresses the programs cannot ask for by themselves. */
const volatile struct range cgroup_functions[MAX_RANGES] = {};
const volatile struct range kill_functions[MAX_RANGES] = {};

/* They bring the types into the program's BTF, from which those of Rust are made, and mean nothing else. */
const struct kill *volatile const wire_kill = NULL;
const struct stack *volatile const wire_stack = NULL;
const volatile enum record_kind wire_record_kind = RECORD_KILL;
const volatile enum kill_hook wire_kill_hook = HOOK_MARK_VICTIM;
const volatile enum kill_scope wire_kill_scope = SCOPE_UNKNOWN;

inlined bool has_room(__u64 bytes)
{
	return bpf_ringbuf_query(&events, BPF_RB_AVAIL_DATA) + bytes < BUFFER_BYTES - KEPT_FOR_KILLS;
}

#include "tasks.h"
#include "user_stack.h"
#include "chain.h"
#include "task_list.h"

/* Processes that were reported: the kernel marks each of their threads that comes by. By pid, when they began: both name one for good. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, __u32);
	__type(value, __u64);
} victims SEC(".maps");

/* Processes whose own stack is wanted, by pid: since when. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, __u32);
	__type(value, __u64);
} awaited SEC(".maps");

/* What is known of a task that asked for memory, and got kills for it. */
struct asker {
	__u64 last_ns;
	__u64 details_of;
	/* Of its last kill. While a group dies its usage falls: later on nothing would look full any more. */
	struct mem_cgroup *limit;
	/* From oom_kill_process(). */
	struct mem_cgroup *memcg;
	__u32 has_oom_control;
	__u32 gfp_mask;
	__s32 order;
	__u32 padding;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 256);
	__type(key, __u32);
	__type(value, struct asker);
} askers SEC(".maps");

int is_in_ranges(__u64 address, __u32 of_kills);

/* Whether an address lies in one of kill_functions, or of cgroup_functions. */
verified_once int is_in_ranges(__u64 address, __u32 of_kills)
{
	for (int i = 0; i < MAX_RANGES; i++) {
		__u64 start = of_kills ? kill_functions[i].start : cgroup_functions[i].start;
		__u64 end = of_kills ? kill_functions[i].end : cgroup_functions[i].end;
		if (address >= start && address < end)
			return 1;
	}
	return 0;
}

/* One of them has to be among the innermost frames: those of the program and of the tracepoint come before. */
inlined bool has_frame_in(const __u64 *frames, __s64 bytes, __u32 of_kills)
{
	for (int i = 0; i < SEARCHED_FRAMES; i++)
		if (i * 8 < bytes && is_in_ranges(frames[i], of_kills))
			return 1;
	return 0;
}

inlined bool passes_through(const struct kill *kill, __u32 of_kills)
{
	return has_frame_in(kill->kernel_stack, kill->kernel_stack_bytes, of_kills);
}

inlined __u32 scope_of(const struct kill *kill, const struct asker *asker)
{
	if (asker->has_oom_control)
		return asker->memcg ? SCOPE_CGROUP : SCOPE_GLOBAL;
	if (!cgroup_functions[0].start || kill->kernel_stack_bytes <= 0)
		return SCOPE_UNKNOWN;
	return passes_through(kill, 0) ? SCOPE_CGROUP : SCOPE_GLOBAL;
}

/* The cgroup whose limit was reached; NULL for the machine, or where that is not known. */
inlined struct mem_cgroup *limit_of(const struct kill *kill, const struct asker *asker, const struct suspects *suspects)
{
	if (asker->has_oom_control)
		return asker->memcg;
	return kill->scope == SCOPE_GLOBAL ? NULL : most_suspect(suspects);
}

inlined void send_stack(void *ctx, struct task_struct *current, __u64 kill_at_ns, __u32 of_victim, __u64 flags)
{
	struct stack *stack = has_room(sizeof(*stack)) ? bpf_ringbuf_reserve(&events, sizeof(*stack), 0) : NULL;
	if (!stack) {
		__sync_fetch_and_add(&lost.stacks, 1);
		return;
	}
	stack->kind = RECORD_STACK;
	stack->of_victim = of_victim;
	stack->kill_at_ns = kill_at_ns;
	stack->pid = BPF_CORE_READ(current, tgid);
	stack->tid = BPF_CORE_READ(current, pid);
	stack->tls_base = tls_base(current);
	fill_registers_of(&stack->registers, current);
	stack->copy_start = copy_start(stack->registers.sp);
	stack->frames_bytes = bpf_get_stack(ctx, stack->frames, sizeof(stack->frames), BPF_F_USER_STACK);
	stack->build_ids_bytes =
		bpf_get_stack(ctx, stack->build_ids, sizeof(stack->build_ids), BPF_F_USER_STACK | BPF_F_USER_BUILD_ID);
	stack->copy_bytes = copy_stack(stack->copy, stack->copy_start, STACK_KIB);
	bpf_ringbuf_submit(stack, flags);
}

inlined void fill_victim(struct kill *kill, struct task_struct *victim, struct mem_cgroup *memcg, __u32 tid)
{
	struct mm_struct *mm = victim ? BPF_CORE_READ(victim, mm) : NULL;
	__builtin_memset(&kill->victim, 0, sizeof(kill->victim));
	__builtin_memset(&kill->memory, 0, sizeof(kill->memory));
	kill->has_victim = victim != NULL;
	kill->has_memory = mm != NULL;
	if (victim)
		fill_party(&kill->victim, victim, memcg);
	else
		kill->victim.tid = tid;
	if (mm)
		fill_memory(&kill->memory, mm);
}

/* False where it was there already. */
inlined bool remember(struct task_struct *victim)
{
	__u32 pid = BPF_CORE_READ(victim, tgid);
	__u64 start_time = BPF_CORE_READ(victim, group_leader, start_time);
	__u64 *known = bpf_map_lookup_elem(&victims, &pid);
	if (known && *known == start_time)
		return 0;
	bpf_map_update_elem(&victims, &pid, &start_time, BPF_ANY);
	return 1;
}

/* The kernel also marks those that are about to end by themselves, so that they get memory to do it. */
inlined bool is_kill(const struct kill *kill, __u32 hook)
{
	if (hook == HOOK_OOM_KILL_PROCESS || !kill_functions[0].start || kill->kernel_stack_bytes <= 0)
		return 1;
	return passes_through(kill, 1);
}

inlined void report(void *ctx, struct task_struct *current, struct task_struct *victim, __u32 victim_tid, struct asker *asker,
			  __u32 hook)
{
	struct suspects suspects = { .pages_left = 1LL << 62 };
	struct mem_cgroup *victims_memcg = victim ? memcg_of(victim) : NULL;
	struct mem_cgroup *own_memcg = memcg_of(current);
	struct mem_cgroup *limit;
	__u64 at_ns = bpf_ktime_get_ns();
	__u32 tid = (__u32)bpf_get_current_pid_tgid();
	__u32 pid = bpf_get_current_pid_tgid() >> 32;
	__u32 victims_pid;
	bool details;
	struct kill *kill = bpf_ringbuf_reserve(&events, sizeof(*kill), 0);
	if (!kill) {
		__sync_fetch_and_add(&lost.kills, 1);
		return;
	}
	kill->kernel_stack_bytes = bpf_get_stack(ctx, kill->kernel_stack, sizeof(kill->kernel_stack), 0);
	fill_victim(kill, victim, victims_memcg, victim_tid);
	if (!is_kill(kill, hook) || (victim && !remember(victim))) {
		bpf_ringbuf_discard(kill, BPF_RB_NO_WAKEUP);
		return;
	}
	if (hook == HOOK_OOM_KILL_PROCESS)
		details = 1;
	else
		details = !asker->has_oom_control && at_ns - asker->last_ns > SAME_CALL_NS;
	if (details)
		asker->details_of = at_ns;
	asker->last_ns = at_ns;

	kill->kind = RECORD_KILL;
	kill->hook = hook;
	kill->at_ns = at_ns;
	kill->details_of = asker->details_of;
	kill->has_oom_control = asker->has_oom_control;
	kill->gfp_mask = asker->gfp_mask;
	kill->order = asker->order;
	fill_party(&kill->trigger, current, own_memcg);
	fill_chain(kill, own_memcg, victims_memcg, &suspects);
	kill->scope = scope_of(kill, asker);
	limit = limit_of(kill, asker, &suspects);
	if (!details && asker->limit)
		limit = asker->limit;
	asker->limit = limit;
	bpf_map_update_elem(&askers, &tid, asker, BPF_ANY);
	kill->limit_cgroup_id = limit ? cgroup_id(limit) : 0;
	victims_pid = kill->victim.pid;
	bpf_ringbuf_submit(kill, BPF_RB_FORCE_WAKEUP);

	/* Else on_signal_generate_btf() has seen to it. */
	if (victim && victims_pid != pid && (hook != HOOK_MARK_VICTIM_BTF || !kill_functions[0].start))
		bpf_map_update_elem(&awaited, &victims_pid, &at_ns, BPF_ANY);
	if (!details)
		return;
	if (!(BPF_CORE_READ(current, flags) & PF_KTHREAD))
		send_stack(ctx, current, at_ns, 0, BPF_RB_NO_WAKEUP);
	send_task_list(current, limit ? BPF_CORE_READ(limit, css.cgroup) : NULL, at_ns);
}

/* What oom_kill_process() left for this task, if it came by. */
inlined struct asker asker_of(__u32 tid)
{
	struct asker asker = {};
	struct asker *known = bpf_map_lookup_elem(&askers, &tid);
	if (known)
		asker = *known;
	return asker;
}

SEC("fentry/oom_kill_process")
int BPF_PROG(on_oom_kill_process, struct oom_control *oc, const char *message)
{
	struct task_struct *current = (void *)bpf_get_current_task();
	struct task_struct *victim = BPF_CORE_READ(oc, chosen);
	struct asker asker = asker_of((__u32)bpf_get_current_pid_tgid());
	asker.memcg = BPF_CORE_READ(oc, memcg);
	asker.gfp_mask = BPF_CORE_READ(oc, gfp_mask);
	asker.order = BPF_CORE_READ(oc, order);
	asker.has_oom_control = 1;
	/* It is ending by itself: the kernel will mark it and leave it alone (task_will_free_mem). */
	if (BPF_CORE_READ(victim, signal, flags) & SIGNAL_GROUP_EXIT) {
		remember(victim);
		return 0;
	}
	report(ctx, current, victim, 0, &asker, HOOK_OOM_KILL_PROCESS);
	return 0;
}

inlined void on_marked(void *ctx, struct task_struct *victim, int pid, __u32 hook)
{
	struct task_struct *current = (void *)bpf_get_current_task();
	struct asker asker = asker_of((__u32)bpf_get_current_pid_tgid());
	if (!victim)
		victim = process_of_pid(current, pid);
	report(ctx, current, victim, pid, &asker, hook);
}

SEC("tp_btf/mark_victim")
int on_mark_victim_btf(__u64 *ctx)
{
	if (bpf_core_type_exists(btf_trace_mark_victim___task))
		on_marked(ctx, (void *)ctx[0], 0, HOOK_MARK_VICTIM_BTF);
	else
		on_marked(ctx, NULL, (int)ctx[0], HOOK_MARK_VICTIM_BTF);
	return 0;
}

SEC("tracepoint/oom/mark_victim")
int on_mark_victim(struct trace_event_raw_mark_victim *ctx)
{
	on_marked(ctx, NULL, ctx->pid, HOOK_MARK_VICTIM);
	return 0;
}

/* The kernel sends the signal before it calls mark_victim(): on another CPU the victim may take it before that. */
SEC("tp_btf/signal_generate")
int on_signal_generate_btf(__u64 *ctx)
{
	int signal = (int)ctx[0];
	__u64 info = ctx[1];
	struct task_struct *task = (void *)ctx[2];
	__u64 frames[SEARCHED_FRAMES] = {};
	__u64 now = bpf_ktime_get_ns();
	__u32 pid;
	long bytes;
	if (signal != SIGKILL || info != SEND_SIG_PRIV)
		return 0;
	pid = BPF_CORE_READ(task, tgid);
	if (pid == bpf_get_current_pid_tgid() >> 32)
		return 0;
	bytes = bpf_get_stack(ctx, frames, sizeof(frames), 0);
	if (has_frame_in(frames, bytes, 1))
		bpf_map_update_elem(&awaited, &pid, &now, BPF_ANY);
	return 0;
}

/* The first thread of the process that takes the signal is where it was when it died; entries go with it. */
inlined void on_signal(void *ctx, int signal)
{
	__u32 pid = bpf_get_current_pid_tgid() >> 32;
	if (signal != SIGKILL || !bpf_map_lookup_elem(&awaited, &pid))
		return;
	/* Only for one of the threads it is still there. */
	if (!bpf_map_delete_elem(&awaited, &pid))
		send_stack(ctx, (void *)bpf_get_current_task(), 0, 1, BPF_RB_FORCE_WAKEUP);
}

SEC("tp_btf/signal_deliver")
int BPF_PROG(on_signal_deliver_btf, int signal)
{
	on_signal(ctx, signal);
	return 0;
}

SEC("tracepoint/signal/signal_deliver")
int on_signal_deliver(struct trace_event_raw_signal_deliver *ctx)
{
	on_signal(ctx, ctx->sig);
	return 0;
}
