#include "kernel.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_core_read.h>
#include "wire.h"

char LICENSE[] SEC("license") = "GPL";

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20);
} events SEC(".maps");

const volatile struct kill unused = {};


SEC("tp_btf/mark_victim")
int BPF_PROG(on_mark_victim, struct task_struct *victim)
{
	struct kill *k = bpf_ringbuf_reserve(&events, sizeof(*k), 0);
	if (!k)
		return 0;
	k->at_ns = bpf_ktime_get_ns();
	k->victim.pid = BPF_CORE_READ(victim, tgid);
	bpf_ringbuf_submit(k, BPF_RB_FORCE_WAKEUP);
	return 0;
}
