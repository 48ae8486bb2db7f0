/* The trigger's memory cgroup and its ancestors, and which of them was full. */
#ifndef OOMSCOPE_CHAIN_H
#define OOMSCOPE_CHAIN_H

/* A cgroup with no more than this many pages left may be the full one: while the kernel printed its report, others gave some back. */
#define NEARLY_FULL 512

/* What speaks for a cgroup, where the kernel's oom_control cannot be seen. */
struct suspects {
	/* The outermost whose oom_lock is held: mem_cgroup_oom() takes the locks of the full one and of all below. */
	struct mem_cgroup *locked;
	/* The one with the fewest pages left. */
	struct mem_cgroup *tightest;
	__s64 pages_left;
};

inlined void fill_level(struct level *level, struct mem_cgroup *memcg)
{
	level->cgroup_id = cgroup_id(memcg);
	level->usage = BPF_CORE_READ(memcg, memory.usage.counter);
	level->limit = BPF_CORE_READ(memcg, memory.max);
	level->peak = BPF_CORE_READ(memcg, memory.watermark);
	level->swap_usage = BPF_CORE_READ(memcg, swap.usage.counter);
	level->swap_limit = BPF_CORE_READ(memcg, swap.max);
	level->has_failcnt = bpf_core_field_exists(memcg->memory.failcnt);
	level->failcnt = level->has_failcnt ? BPF_CORE_READ(memcg, memory.failcnt) : 0;
	level->has_victim = 0;
}

inlined bool is_locked(struct mem_cgroup *memcg)
{
	return bpf_core_field_exists(memcg->oom_lock) && BPF_CORE_READ(memcg, oom_lock);
}

inlined void suspect(struct suspects *suspects, struct mem_cgroup *memcg, const struct level *level)
{
	__s64 pages_left = (__s64)level->limit - level->usage;
	if (is_locked(memcg))
		suspects->locked = memcg;
	if (pages_left < suspects->pages_left) {
		suspects->pages_left = pages_left;
		suspects->tightest = memcg;
	}
}

/* Without the root, which has no limit and counts otherwise. */
inlined void fill_chain(struct kill *kill, struct mem_cgroup *memcg, struct mem_cgroup *victims, struct suspects *suspects)
{
	struct cgroup *victims_cgroup = victims ? BPF_CORE_READ(victims, css.cgroup) : NULL;
	__u32 levels = 0;
	kill->hierarchy_id = memcg ? BPF_CORE_READ(memcg, css.cgroup, root, hierarchy_id) : 0;
	for (__u32 i = 0; i < MAX_LEVELS; i++) {
		struct mem_cgroup *parent = memcg ? (void *)BPF_CORE_READ(memcg, css.parent) : NULL;
		if (!parent)
			break;
		fill_level(&kill->chain[i], memcg);
		if (victims_cgroup && is_within(victims_cgroup, BPF_CORE_READ(memcg, css.cgroup))) {
			kill->chain[i].has_victim = 1;
			suspect(suspects, memcg, &kill->chain[i]);
		}
		levels = i + 1;
		memcg = parent;
	}
	kill->levels = levels;
}

inlined struct mem_cgroup *most_suspect(const struct suspects *suspects)
{
	if (suspects->locked)
		return suspects->locked;
	return suspects->pages_left <= NEARLY_FULL ? suspects->tightest : NULL;
}

#endif
