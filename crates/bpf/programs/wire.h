/* What the programs send to user space. The Rust types are generated from these through the programs' BTF, so that there is one
 * definition. Fixed-size integers in natural alignment and no padding that is not named: the bytes are copied as they are. Each record
 * begins with its kind. */
#ifndef OOMSCOPE_WIRE_H
#define OOMSCOPE_WIRE_H

enum record_kind {
	RECORD_KILL = 1,
	RECORD_STACK = 2,
	RECORD_TASKS = 3,
	RECORD_FAULT = 4,
};

enum kill_hook {
	HOOK_OOM_KILL_PROCESS = 1,
	HOOK_MARK_VICTIM_BTF = 2,
	HOOK_MARK_VICTIM = 3,
};

/* Whether it was a memory cgroup's limit or the machine's memory. */
enum kill_scope {
	SCOPE_UNKNOWN = 0,
	SCOPE_CGROUP = 1,
	SCOPE_GLOBAL = 2,
};

enum {
	COMM_LEN = 16,
	MAX_LEVELS = 16,
	KERNEL_FRAMES = 48,
	USER_FRAMES = 127,
	BUILD_IDS = 64,
	STACK_KIB = 16,
	TASKS_PER_RECORD = 64,
	FAULT_FRAMES = 127,
	FAULT_STACK_KIB = 8,
};

struct party {
	__u64 cgroup_id;
	__u32 tid;
	__u32 pid;
	__u32 uid;
	__s32 oom_score_adj;
	__u8 comm[COMM_LEN];
};

/* Pages, except for the page tables, which are bytes. Counters may be negative for a moment. */
struct memory {
	__s64 total_vm;
	__s64 anon;
	__s64 file;
	__s64 shmem;
	__s64 swap;
	__s64 pgtables_bytes;
};

/* A memory cgroup; pages. The second counter is swap (v2), or memory and swap (v1). */
struct level {
	__u64 cgroup_id;
	__s64 usage;
	__u64 limit;
	__u64 peak;
	__s64 swap_usage;
	__u64 swap_limit;
	__u64 failcnt;
	/* The kernel has the field. */
	__u32 has_failcnt;
	/* The victim is below, too. */
	__u32 has_victim;
};

struct kill {
	__u32 kind;
	__u32 hook;
	/* Also the kill's name: kills happen one after the other. */
	__u64 at_ns;
	/* The kill whose stack and tasks are also this one's; its own at_ns where they follow. */
	__u64 details_of;
	/* 0 where unknown or none. */
	__u64 limit_cgroup_id;
	__u32 scope;
	/* Whether gfp_mask and order are known. */
	__u32 has_oom_control;
	__u32 gfp_mask;
	__s32 order;
	/* Of the chain; 0 for cgroup v2. */
	__u32 hierarchy_id;
	__u32 levels;
	struct party trigger;
	struct party victim;
	/* The victim was found, so that party and memory are filled, not only the victim's tid. */
	__u32 has_victim;
	__u32 has_memory;
	struct memory memory;
	struct level chain[MAX_LEVELS];
	/* Negative for none. */
	__s64 kernel_stack_bytes;
	__u64 kernel_stack[KERNEL_FRAMES];
};

struct registers {
	__u64 ip;
	__u64 sp;
	__u64 bp;
	__u64 lr;
};

/* The kernel's struct bpf_stack_build_id. */
struct build_id {
	__s32 status;
	__u8 build_id[20];
	/* In the file where status is 1, an address where it is 2. */
	__u64 offset_or_ip;
};

struct stack {
	__u32 kind;
	/* The victim's, not the trigger's. */
	__u32 of_victim;
	/* 0 for a victim, which may die before its kill has a name. */
	__u64 kill_at_ns;
	__u32 pid;
	__u32 tid;
	/* registers.ip is 0 where they could not be had. */
	struct registers registers;
	__u64 tls_base;
	/* Where the copy begins: at or a little below the stack pointer. */
	__u64 copy_start;
	/* Negative for none. */
	__s64 frames_bytes;
	__s64 build_ids_bytes;
	__u64 copy_bytes;
	__u64 frames[USER_FRAMES];
	struct build_id build_ids[BUILD_IDS];
	__u8 copy[STACK_KIB * 1024];
};

struct task_row {
	__u32 pid;
	__u32 uid;
	__s32 oom_score_adj;
	__u32 padding;
	__u8 comm[COMM_LEN];
	struct memory memory;
};

struct tasks {
	__u32 kind;
	__u32 count;
	__u64 kill_at_ns;
	/* No more will come for this kill. */
	__u32 last;
	/* In the last: all processes were looked at. */
	__u32 complete;
	struct task_row rows[TASKS_PER_RECORD];
};

struct fault {
	__u32 kind;
	__u32 pid;
	__u32 tid;
	__u32 padding;
	__u64 at_ns;
	__u64 cgroup_id;
	__u64 address;
	__s64 rss_pages;
	__u8 comm[COMM_LEN];
	struct registers registers;
	__u64 tls_base;
	__u64 copy_start;
	/* Negative for none. */
	__s64 frames_bytes;
	__u64 copy_bytes;
	__u64 frames[FAULT_FRAMES];
	/* The record ends after as many KiB of this as were asked for. */
	__u8 copy[FAULT_STACK_KIB * 1024];
};

/* A record with room for so many KiB of the stack. */
#define FAULT_BYTES(kib) (sizeof(struct fault) - (FAULT_STACK_KIB - (kib)) * 1024)

enum fault_filter {
	FILTER_ALL = 0,
	FILTER_CGROUPS = 1,
	FILTER_PROCESSES = 2,
};

/* Where a function of the kernel lies; end is not in it. */
struct range {
	__u64 start;
	__u64 end;
};

/* Records that were not sent because the ring buffer was full. */
struct kill_losses {
	__u64 kills;
	__u64 stacks;
	__u64 tasks;
};

struct fault_losses {
	__u64 over_rate;
	__u64 buffer_full;
};

#endif
