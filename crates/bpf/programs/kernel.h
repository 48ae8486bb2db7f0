/* The kernel's types, cut down to what the programs read. preserve_access_index makes each access a CO-RE relocation: the loader looks
 * the fields up by name in the running kernel's BTF, so order and distance here mean nothing, only names and types do. What follows
 * three underscores is no part of a name: it tells forms of one type in different kernels apart. */
#ifndef OOMSCOPE_KERNEL_H
#define OOMSCOPE_KERNEL_H

typedef unsigned char __u8;
typedef signed char __s8;
typedef unsigned short __u16;
typedef short __s16;
typedef unsigned int __u32;
typedef int __s32;
typedef unsigned long long __u64;
typedef long long __s64;
typedef __u16 __be16;
typedef __u32 __be32;
typedef __u32 __wsum;
typedef _Bool bool;
typedef unsigned int uid_t;
#define NULL ((void *)0)
#define inlined static __attribute__((always_inline)) inline
/* A function that the verifier looks at once, for all values of its arguments, not once for each path to each call: so long programs stay
 * within what it bears. Such a function takes and returns plain numbers (pointers as arguments came with 5.12). */
#define verified_once __attribute__((noinline))

enum {
	BPF_MAP_TYPE_HASH = 1,
	BPF_MAP_TYPE_ARRAY = 2,
	BPF_MAP_TYPE_PERCPU_ARRAY = 6,
	BPF_MAP_TYPE_LRU_HASH = 9,
	BPF_MAP_TYPE_RINGBUF = 27,
};

enum {
	BPF_ANY = 0,
	BPF_NOEXIST = 1,
};

enum {
	BPF_RB_NO_WAKEUP = 1,
	BPF_RB_FORCE_WAKEUP = 2,
};

enum {
	BPF_RB_AVAIL_DATA = 0,
};

enum {
	BPF_F_USER_STACK = 1 << 8,
	BPF_F_USER_BUILD_ID = 1 << 11,
};

/* Asked for by name in the running kernel's BTF: whether it has the function. */
enum bpf_func_id {
	BPF_FUNC_task_pt_regs = 175,
};

enum cgroup_subsys_id {
	memory_cgrp_id = 4,
};

#define PF_KTHREAD 0x00200000
#define SIGKILL 9
/* In the place of a siginfo: from the kernel (include/linux/sched/signal.h). */
#define SEND_SIG_PRIV 1
#define SIGNAL_GROUP_EXIT 0x00000004
/* mm/Kconfig and include/linux/mm_types_task.h: the order of the counters is the same since 4.5. */
enum {
	MM_FILEPAGES,
	MM_ANONPAGES,
	MM_SWAPENTS,
	MM_SHMEMPAGES,
	NR_MM_COUNTERS,
};

/* Part of the ABI towards user space (ptrace, perf), so the same everywhere: no relocations. */
#if defined(__TARGET_ARCH_arm64)
struct pt_regs {
	__u64 regs[31];
	__u64 sp;
	__u64 pc;
	__u64 pstate;
};
#elif defined(__TARGET_ARCH_x86)
struct pt_regs {
	__u64 r15, r14, r13, r12, bp, bx, r11, r10, r9, r8, ax, cx, dx, si, di, orig_ax;
	__u64 ip;
	__u64 cs;
	__u64 flags;
	__u64 sp;
	__u64 ss;
};
#else
#error "neither x86-64 nor arm64"
#endif

struct bpf_perf_event_data {
	struct pt_regs regs;
	__u64 sample_period;
	__u64 addr;
};

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct list_head {
	struct list_head *next, *prev;
};

typedef struct {
	long counter;
} atomic_long_t;

typedef struct {
	uid_t val;
} kuid_t;

struct cred {
	kuid_t uid;
};

struct kernfs_node {
	__u64 id;
};

struct cgroup_root {
	int hierarchy_id;
};

struct cgroup_subsys_state {
	struct cgroup *cgroup;
	struct cgroup_subsys_state *parent;
};

struct cgroup {
	int level;
	struct kernfs_node *kn;
	struct cgroup_root *root;
	struct cgroup *ancestors[0];
};

/* Before 6.1. */
struct cgroup___ids {
	__u64 ancestor_ids[0];
};

struct css_set {
	struct cgroup_subsys_state *subsys[1];
};

struct page_counter {
	atomic_long_t usage;
	unsigned long failcnt;
	unsigned long watermark;
	unsigned long max;
};

struct mem_cgroup {
	struct cgroup_subsys_state css;
	struct page_counter memory;
	/* In a union with memsw, which v1 uses. */
	struct page_counter swap;
	bool oom_lock;
};

struct percpu_counter {
	__s64 count;
};

struct mm_struct {
	unsigned long total_vm;
	atomic_long_t pgtables_bytes;
	struct percpu_counter rss_stat[NR_MM_COUNTERS];
};

/* Before 6.2. */
struct mm_rss_stat {
	atomic_long_t count[NR_MM_COUNTERS];
};

struct mm_struct___atomic {
	struct mm_rss_stat rss_stat;
};

struct signal_struct {
	unsigned int flags;
	short oom_score_adj;
};

#if defined(__TARGET_ARCH_arm64)
struct thread_struct {
	struct {
		unsigned long tp_value;
	} uw;
};
#else
struct thread_struct {
	unsigned long fsbase;
};
#endif

struct task_struct {
	unsigned int flags;
	int pid;
	int tgid;
	void *stack;
	char comm[16];
	__u64 start_time;
	struct mm_struct *mm;
	struct task_struct *group_leader;
	struct list_head tasks;
	const struct cred *cred;
	struct css_set *cgroups;
	struct signal_struct *signal;
	struct thread_struct thread;
};

struct oom_control {
	struct mem_cgroup *memcg;
	const unsigned int gfp_mask;
	const int order;
	struct task_struct *chosen;
};

struct trace_event_raw_mark_victim {
	int pid;
};

struct trace_event_raw_signal_deliver {
	int sig;
};

#pragma clang attribute pop

/* The arguments of the tracepoint mark_victim from 6.8 on, and where that was backported; before it was a lone int. */
typedef void (*btf_trace_mark_victim___task)(void *, struct task_struct *, uid_t);

#endif
