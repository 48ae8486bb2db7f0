/* Walking the kernel's list of processes. It is a ring through every process and init_task, and is entered where a process is at hand, so
 * that no symbol is needed. Reads may fail, never fault; what is unlinked meanwhile still leads on (RCU). */
#ifndef OOMSCOPE_TASK_LIST_H
#define OOMSCOPE_TASK_LIST_H

inlined struct task_struct *next_process(struct task_struct *process)
{
	struct list_head *next = BPF_CORE_READ(process, tasks.next);
	return (void *)next - bpf_core_field_offset(struct task_struct, tasks);
}

struct search {
	struct task_struct *at;
	struct task_struct *first;
	int pid;
	struct task_struct *found;
};

turn int search_turn(__u32 index, struct search *search)
{
	if (BPF_CORE_READ(search->at, pid) == search->pid) {
		search->found = search->at;
		return 1;
	}
	search->at = next_process(search->at);
	return search->at == search->first;
}

/* NULL where there is none among those that could be looked at. Threads that are not their process's first are not in the list. */
inlined struct task_struct *process_of_pid(struct task_struct *current, int pid)
{
	struct search search = { .pid = pid };
	search.at = search.first = BPF_CORE_READ(current, group_leader);
	repeat(search_turn, &search);
	return search.found;
}

struct walk {
	struct task_struct *at;
	struct task_struct *first;
	/* NULL for all. */
	struct cgroup *domain;
	__u64 kill_at_ns;
	__u32 complete;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct tasks);
} next_tasks SEC(".maps");

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

inlined void add_row(struct tasks *tasks, struct task_struct *task, struct mm_struct *mm)
{
	struct task_row *row = &tasks->rows[tasks->count & (TASKS_PER_RECORD - 1)];
	row->pid = BPF_CORE_READ(task, tgid);
	row->uid = BPF_CORE_READ(task, cred, uid.val);
	row->oom_score_adj = BPF_CORE_READ(task, signal, oom_score_adj);
	row->padding = 0;
	bpf_core_read(row->comm, sizeof(row->comm), &task->comm);
	fill_memory(&row->memory, mm);
	tasks->count++;
	if (tasks->count >= TASKS_PER_RECORD)
		send_tasks(tasks, BPF_RB_NO_WAKEUP);
}

turn int walk_turn(__u32 index, struct walk *walk)
{
	__u32 zero = 0;
	struct tasks *tasks = bpf_map_lookup_elem(&next_tasks, &zero);
	struct task_struct *task = walk->at;
	struct mm_struct *mm = BPF_CORE_READ(task, mm);
	if (!tasks)
		return 1;
	if (mm && !(BPF_CORE_READ(task, flags) & PF_KTHREAD) && is_of(task, walk->domain))
		add_row(tasks, task, mm);
	walk->at = next_process(task);
	walk->complete = walk->at == walk->first;
	return walk->complete;
}

/* The processes of a cgroup and of all below, or of the machine. Of kill_at_ns it reads no more than the number. */
inlined void send_task_list(struct task_struct *current, struct cgroup *domain, __u64 kill_at_ns)
{
	__u32 zero = 0;
	struct walk walk = { .domain = domain, .kill_at_ns = kill_at_ns };
	struct tasks *tasks = bpf_map_lookup_elem(&next_tasks, &zero);
	if (!tasks)
		return;
	tasks->kind = RECORD_TASKS;
	tasks->kill_at_ns = kill_at_ns;
	tasks->last = tasks->complete = 0;
	tasks->count = 0;
	walk.at = walk.first = BPF_CORE_READ(current, group_leader);
	repeat(walk_turn, &walk);
	tasks->last = 1;
	tasks->complete = walk.complete;
	send_tasks(tasks, BPF_RB_FORCE_WAKEUP);
}

#endif
