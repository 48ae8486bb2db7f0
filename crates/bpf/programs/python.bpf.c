/* At an OOM kill: the Python functions in which the task was that asked for memory.
 *
 * A program of its own, so that a kernel that refuses it loses nothing else. The raw tracepoint is the one that every kernel has, and the
 * arguments, which differ, are not needed: the trigger is the current task. */
#include "kernel.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_core_read.h>
#include "wire.h"
#include "user_stack.h"
#include "python.h"

char LICENSE[] SEC("license") = "GPL";

/* The kernel marks the processes of a group, and each thread of a victim that comes by, one after the other. */
#define SAME_CALL_NS 2000000ULL

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 512 << 10);
} python_events SEC(".maps");

struct python_process {
	struct python_layout layout;
	/* CLOCK_MONOTONIC; 0 for never. */
	__u64 last_ns;
};

/* By pid. The oldest make room. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, __u32);
	__type(value, struct python_process);
} pythons SEC(".maps");

__u64 lost = 0;

/* They bring the types into the program's BTF, as in kill.bpf.c. */
const struct python *volatile const wire_python = NULL;
const volatile enum python_entry wire_python_entry = PYTHON_ENTRY_ALWAYS;

SEC("raw_tp/mark_victim")
int on_mark_victim_in_python(void *ctx)
{
	struct task_struct *current = (void *)bpf_get_current_task();
	__u64 ids = bpf_get_current_pid_tgid(), now = bpf_ktime_get_ns(), thread;
	__u32 pid = ids >> 32;
	struct python_process *process = bpf_map_lookup_elem(&pythons, &pid);
	struct python *python;
	if (!process || (process->last_ns && now - process->last_ns < SAME_CALL_NS))
		return 0;
	process->last_ns = now;
	thread = python_thread(&process->layout, tls_base(current));
	if (!thread)
		return 0;
	python = bpf_ringbuf_reserve(&python_events, sizeof(*python), 0);
	if (!python) {
		__sync_fetch_and_add(&lost, 1);
		return 0;
	}
	python->at_ns = now;
	python->pid = pid;
	python->tid = (__u32)ids;
	read_frames(python, &process->layout, python_innermost(&process->layout, thread));
	bpf_ringbuf_submit(python, BPF_RB_FORCE_WAKEUP);
	return 0;
}
