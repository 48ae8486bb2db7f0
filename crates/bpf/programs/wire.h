/* What the programs send to user space. The Rust types are generated from these through the programs' BTF, so that there is one
 * definition. Fixed-size integers in natural alignment and no padding that is not named: the bytes are copied as they are. */
#ifndef OOMSCOPE_WIRE_H
#define OOMSCOPE_WIRE_H

#define COMM_LEN 16

struct party {
	__u64 cgroup_id;
	__u32 tid;
	__u32 pid;
	__u32 uid;
	__s32 oom_score_adj;
	__u8 comm[COMM_LEN];
};

struct kill {
	__u64 at_ns;
	struct party trigger;
	struct party victim;
};

#endif
