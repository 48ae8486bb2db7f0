/* One of many page faults: who touched new memory, and where.
 *
 * Every fault-heavy program of the machine pays for what is done here, those that nobody asked about for everything before the filter.
 */
#include "kernel.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_core_read.h>
#include "wire.h"
#include "tasks.h"
#include "user_stack.h"

char LICENSE[] SEC("license") = "GPL";

#define BUFFER_BYTES (4 << 20)
/* Readers look now and then anyhow; full like this it is urgent. */
#define WAKE_BYTES (BUFFER_BYTES / 8)
#define MAX_ANCESTORS 16

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, BUFFER_BYTES);
} events SEC(".maps");

struct fault_losses lost = {};

/* Of enum fault_filter. */
const volatile __u32 filter = FILTER_ALL;
/* KiB of the stack to copy, at most FAULT_STACK_KIB. */
const volatile __u32 stack_kib = 0;
/* Samples a second and CPU. */
const volatile __u32 rate = 1000;

/* They bring the types into the program's BTF, as in kill.bpf.c. */
const struct fault *volatile const wire_fault = NULL;
const volatile enum fault_filter wire_fault_filter = FILTER_ALL;

/* Inodes of cgroups' folders, pids: the values mean nothing. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__type(key, __u64);
	__type(value, __u8);
} cgroups SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__type(key, __u32);
	__type(value, __u8);
} processes SEC(".maps");

struct second {
	__u64 began_ns;
	__u64 samples;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct second);
} seconds SEC(".maps");

inlined bool in_cgroups(struct mem_cgroup *memcg)
{
	for (int i = 0; i < MAX_ANCESTORS && memcg; i++) {
		__u64 id = cgroup_id(memcg);
		if (bpf_map_lookup_elem(&cgroups, &id))
			return 1;
		memcg = (void *)BPF_CORE_READ(memcg, css.parent);
	}
	return 0;
}

inlined bool is_wanted(struct mem_cgroup *memcg, __u32 pid)
{
	if (filter == FILTER_PROCESSES)
		return bpf_map_lookup_elem(&processes, &pid) != NULL;
	return filter == FILTER_ALL || in_cgroups(memcg);
}

inlined bool within_rate(__u64 now)
{
	__u32 zero = 0;
	struct second *second = bpf_map_lookup_elem(&seconds, &zero);
	if (!second)
		return 0;
	if (now - second->began_ns >= 1000000000ULL) {
		second->began_ns = now;
		second->samples = 0;
	}
	return second->samples++ < rate;
}

/* What the fault interrupted, where that was user space; else what the kernel works for. */
inlined void fill_fault_registers(struct fault *fault, struct bpf_perf_event_data *ctx, struct task_struct *current)
{
	if (in_user_mode(&ctx->regs))
		fill_registers(&fault->registers, &ctx->regs);
	else
		fill_registers_of(&fault->registers, current);
}

inlined void fill_fault(struct fault *fault, struct bpf_perf_event_data *ctx, struct task_struct *current, struct mem_cgroup *memcg)
{
	struct mm_struct *mm = BPF_CORE_READ(current, mm);
	__u64 pid_tgid = bpf_get_current_pid_tgid();
	__u32 pieces = stack_kib > FAULT_STACK_KIB ? FAULT_STACK_KIB : stack_kib;
	fault->kind = RECORD_FAULT;
	fault->pid = pid_tgid >> 32;
	fault->tid = (__u32)pid_tgid;
	fault->padding = 0;
	fault->cgroup_id = memcg ? cgroup_id(memcg) : 0;
	fault->address = ctx->addr;
	fault->rss_pages = mm ? rss_of(mm) : 0;
	bpf_get_current_comm(fault->comm, sizeof(fault->comm));
	fault->tls_base = tls_base(current);
	fill_fault_registers(fault, ctx, current);
	fault->copy_start = copy_start(fault->registers.sp);
	fault->frames_bytes = bpf_get_stack(ctx, fault->frames, sizeof(fault->frames), BPF_F_USER_STACK);
	fault->copy_bytes = copy_stack(fault->copy, fault->copy_start, pieces);
}

SEC("perf_event")
int on_fault(struct bpf_perf_event_data *ctx)
{
	struct task_struct *current = (void *)bpf_get_current_task();
	struct mem_cgroup *memcg = memcg_of(current);
	__u64 now;
	struct fault *fault;
	if (!is_wanted(memcg, bpf_get_current_pid_tgid() >> 32) || BPF_CORE_READ(current, flags) & PF_KTHREAD)
		return 0;
	now = bpf_ktime_get_ns();
	if (!within_rate(now)) {
		__sync_fetch_and_add(&lost.over_rate, 1);
		return 0;
	}
	/* Constants for the verifier, which knows stack_kib. */
	if (stack_kib == 0)
		fault = bpf_ringbuf_reserve(&events, FAULT_BYTES(0), 0);
	else if (stack_kib <= 4)
		fault = bpf_ringbuf_reserve(&events, FAULT_BYTES(4), 0);
	else
		fault = bpf_ringbuf_reserve(&events, FAULT_BYTES(FAULT_STACK_KIB), 0);
	if (!fault) {
		__sync_fetch_and_add(&lost.buffer_full, 1);
		return 0;
	}
	fault->at_ns = now;
	fill_fault(fault, ctx, current, memcg);
	bpf_ringbuf_submit(fault, bpf_ringbuf_query(&events, BPF_RB_AVAIL_DATA) > WAKE_BYTES ? BPF_RB_FORCE_WAKEUP : BPF_RB_NO_WAKEUP);
	return 0;
}
