/* Walking the kernel's list of processes. It is a ring through every process and init_task, and is entered where a process is at hand, so
 * that no symbol is needed. Reads may fail, never fault; what is unlinked meanwhile still leads on (RCU).
 *
 * bpf_loop() came with 5.17, and a program with it cannot even be offered to a kernel without. Loops that the verifier follows turn by turn
 * have to be short (BPF_COMPLEXITY_LIMIT_JMP_SEQ): so a round of turns is a function that the verifier sees once, and there are rounds. */
#ifndef OOMSCOPE_TASK_LIST_H
#define OOMSCOPE_TASK_LIST_H

#define TURNS 1024
#define ROUNDS 32

/* Where the walk is; between functions, as they pass only numbers. */
struct walk {
	struct task_struct *at;
	struct task_struct *first;
	struct task_struct *found;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct walk);
} walks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct tasks);
} next_tasks SEC(".maps");

int search_some(int pid);
int walk_some(__u64 domain);
int add_process(__u64 process, __u64 domain);

inlined struct walk *the_walk(void)
{
	__u32 zero = 0;
	return bpf_map_lookup_elem(&walks, &zero);
}

inlined struct tasks *the_tasks(void)
{
	__u32 zero = 0;
	return bpf_map_lookup_elem(&next_tasks, &zero);
}

inlined struct task_struct *next_process(struct task_struct *process)
{
	struct list_head *next = BPF_CORE_READ(process, tasks.next);
	return (void *)next - bpf_core_field_offset(struct task_struct, tasks);
}

/* Other than 0 when there is nothing more to look at. */
verified_once int search_some(int pid)
{
	struct walk *walk = the_walk();
	struct task_struct *process, *first;
	if (!walk)
		return 1;
	process = walk->at;
	first = walk->first;
	for (int i = 0; i < TURNS; i++) {
		if (BPF_CORE_READ(process, pid) == pid) {
			walk->found = process;
			return 1;
		}
		process = next_process(process);
		if (process == first)
			return 1;
	}
	walk->at = process;
	return 0;
}

/* NULL where there is none. Threads that are not their process's first are not in the list. */
inlined struct task_struct *process_of_pid(struct task_struct *current, int pid)
{
	struct walk *walk = the_walk();
	if (!walk)
		return NULL;
	walk->at = walk->first = BPF_CORE_READ(current, group_leader);
	walk->found = NULL;
	for (int i = 0; i < ROUNDS; i++)
		if (search_some(pid))
			break;
	return walk->found;
}

inlined void send_tasks(struct tasks *tasks, __u64 flags)
{
	if (!has_room(sizeof(*tasks)) || bpf_ringbuf_output(&events, tasks, sizeof(*tasks), flags))
		__sync_fetch_and_add(&lost.tasks, 1);
	tasks->count = 0;
}

inlined bool is_of(struct task_struct *task, struct cgroup *domain)
{
	struct mem_cgroup *memcg = domain ? memcg_of(task) : NULL;
	return !domain || (memcg && is_within(BPF_CORE_READ(memcg, css.cgroup), domain));
}

inlined void fill_row(struct task_row *row, struct task_struct *task, struct mm_struct *mm)
{
	row->pid = BPF_CORE_READ(task, tgid);
	row->uid = BPF_CORE_READ(task, cred, uid.val);
	row->oom_score_adj = BPF_CORE_READ(task, signal, oom_score_adj);
	row->padding = 0;
	bpf_core_read(row->comm, sizeof(row->comm), &task->comm);
	fill_memory(&row->memory, mm);
}

/* If it is one of the domain's, and has memory of its own: kernel threads have none. */
verified_once int add_process(__u64 process, __u64 domain)
{
	struct task_struct *task = (void *)process;
	struct mm_struct *mm = BPF_CORE_READ(task, mm);
	struct tasks *tasks = the_tasks();
	if (!tasks || !mm || BPF_CORE_READ(task, flags) & PF_KTHREAD || !is_of(task, (void *)domain))
		return 0;
	fill_row(&tasks->rows[tasks->count & (TASKS_PER_RECORD - 1)], task, mm);
	tasks->count++;
	if (tasks->count >= TASKS_PER_RECORD)
		send_tasks(tasks, BPF_RB_NO_WAKEUP);
	return 0;
}

/* Other than 0 when all were looked at. */
verified_once int walk_some(__u64 domain)
{
	struct walk *walk = the_walk();
	struct task_struct *process, *first;
	if (!walk)
		return 0;
	process = walk->at;
	first = walk->first;
	for (int i = 0; i < TURNS; i++) {
		add_process((__u64)process, domain);
		process = next_process(process);
		if (process == first)
			return 1;
	}
	walk->at = process;
	return 0;
}

/* The processes of a cgroup and of all below, or of the machine where domain is NULL. */
inlined void send_task_list(struct task_struct *current, struct cgroup *domain, __u64 kill_at_ns)
{
	struct walk *walk = the_walk();
	struct tasks *tasks = the_tasks();
	__u32 complete = 0;
	if (!walk || !tasks)
		return;
	tasks->kind = RECORD_TASKS;
	tasks->kill_at_ns = kill_at_ns;
	tasks->last = tasks->complete = 0;
	tasks->count = 0;
	walk->at = walk->first = BPF_CORE_READ(current, group_leader);
	for (int i = 0; i < ROUNDS && !complete; i++)
		complete = walk_some((__u64)domain);
	tasks->last = 1;
	tasks->complete = complete;
	send_tasks(tasks, BPF_RB_FORCE_WAKEUP);
}

#endif
