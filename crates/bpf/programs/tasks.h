/* Reading a task: who it is, what it holds, which memory cgroup it is in. */
#ifndef OOMSCOPE_TASKS_H
#define OOMSCOPE_TASKS_H

/* bpf_get_current_cgroup_id() knows only v2; this is the memory controller's cgroup on both. NULL without that controller. */
inlined struct mem_cgroup *memcg_of(struct task_struct *task)
{
	if (!bpf_core_enum_value_exists(enum cgroup_subsys_id, memory_cgrp_id))
		return NULL;
	/* The css is the first member of struct mem_cgroup since there is one. */
	return (void *)BPF_CORE_READ(task, cgroups, subsys[bpf_core_enum_value(enum cgroup_subsys_id, memory_cgrp_id)]);
}

/* Inode of the folder: kernfs takes one for the other on 64 bits. */
inlined __u64 cgroup_id(struct mem_cgroup *memcg)
{
	return BPF_CORE_READ(memcg, css.cgroup, kn, id);
}

/* A macro, because only a literal index is relocated: the counters' size differs between kernels. */
#define pages_of(mm, which)                                                                                                                \
	(bpf_core_type_exists(struct mm_rss_stat) ? BPF_CORE_READ((struct mm_struct___atomic *)(mm), rss_stat.count[which].counter)     \
						  : BPF_CORE_READ(mm, rss_stat[which].count))

inlined __s64 rss_of(struct mm_struct *mm)
{
	return pages_of(mm, MM_FILEPAGES) + pages_of(mm, MM_ANONPAGES) + pages_of(mm, MM_SHMEMPAGES);
}

inlined void fill_memory(struct memory *memory, struct mm_struct *mm)
{
	memory->total_vm = BPF_CORE_READ(mm, total_vm);
	memory->anon = pages_of(mm, MM_ANONPAGES);
	memory->file = pages_of(mm, MM_FILEPAGES);
	memory->shmem = pages_of(mm, MM_SHMEMPAGES);
	memory->swap = pages_of(mm, MM_SWAPENTS);
	memory->pgtables_bytes = BPF_CORE_READ(mm, pgtables_bytes.counter);
}

inlined void fill_party(struct party *party, struct task_struct *task, struct mem_cgroup *memcg)
{
	party->cgroup_id = memcg ? cgroup_id(memcg) : 0;
	party->tid = BPF_CORE_READ(task, pid);
	party->pid = BPF_CORE_READ(task, tgid);
	party->uid = BPF_CORE_READ(task, cred, uid.val);
	party->oom_score_adj = BPF_CORE_READ(task, signal, oom_score_adj);
	bpf_core_read(party->comm, sizeof(party->comm), &task->comm);
}

int is_within_cgroup(__u64 cgroup_address, __u64 top_address);

/* Whether a cgroup is this one, or below it. Never inlined, for another reason, too: out of a loop the compiler would lift what only one of
 * the branches may ask for, the place of a field that this kernel does not have. */
verified_once int is_within_cgroup(__u64 cgroup_address, __u64 top_address)
{
	struct cgroup *cgroup = (void *)cgroup_address, *top = (void *)top_address;
	int level = BPF_CORE_READ(top, level);
	if (level < 0 || BPF_CORE_READ(cgroup, level) < level)
		return 0;
	if (bpf_core_field_exists(struct cgroup, ancestors)) {
		struct cgroup *ancestor = NULL;
		void *ancestors = (void *)cgroup + bpf_core_field_offset(struct cgroup, ancestors);
		bpf_probe_read_kernel(&ancestor, sizeof(ancestor), ancestors + level * sizeof(ancestor));
		return ancestor == top;
	}
	if (bpf_core_field_exists(struct cgroup___ids, ancestor_ids)) {
		__u64 id = 0;
		void *ids = (void *)cgroup + bpf_core_field_offset(struct cgroup___ids, ancestor_ids);
		bpf_probe_read_kernel(&id, sizeof(id), ids + level * sizeof(id));
		return id == BPF_CORE_READ(top, kn, id);
	}
	return cgroup == top;
}

inlined bool is_within(struct cgroup *cgroup, struct cgroup *top)
{
	return is_within_cgroup((__u64)cgroup, (__u64)top);
}

#endif
