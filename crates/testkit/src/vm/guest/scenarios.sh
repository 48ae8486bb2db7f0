# The scenarios: every kind of kill that a watcher can see, and some that it must not take for one. library.sh has the words.

NODE_LOCAL='container_limit systemd_driver pod_limit group_kill tmpfs_written tmpfs_mapped forty_processes pipes slab no_killable
	no_killable_faults swap_limit cpuset mempolicy sysrq no_task_table three_at_once odd_names pid_namespace thread_trigger kubepods_limit
	long_path churn killed_from_outside stalled_at_high spike clock_step'
# These disturb the log or the watcher, so they come last.
DISTURBING='burst disk_full watcher_killed allocating_task node_wide overrun'

scenario_container_limit() {
	cgroupfs_pod burstable
	make $C2 $C1
	limit $C1 $((24 * MIB))
	spawn bystander $C2 -998 pause anon=64 ready
	spawn victim $C1 996 java uid=1000 threads=3 anon=12000 ready go grow=64
	expect victims=$LAST trigger=$LAST killer=container_limit limit_cgroup=$C1 limit_bytes=$((24 * MIB))
	kill_of $LAST
}

scenario_systemd_driver() {
	systemd_pod burstable cri-containerd
	make $C2 $C1
	limit $C1 $((24 * MIB))
	limit $POD $((80 * MIB))
	spawn bystander $C2 -998 pause anon=64 ready
	spawn bystander $C1 871 sh anon=300 ready
	spawn victim $C1 871 node uid=65534 map=/dev/shm/$S:2048 anon=8000 ready go grow=32
	expect victims=$LAST trigger=$LAST killer=container_limit limit_cgroup=$C1 limit_bytes=$((24 * MIB))
	kill_of $LAST
	rm /dev/shm/$S
}

# The one that asks is not the one that dies, and they live in different containers.
scenario_pod_limit() {
	cgroupfs_pod burstable
	make $C1 $C2 $C3
	limit $POD $((32 * MIB))
	limit $C3 $((30 * MIB))
	spawn bystander $C1 -998 pause anon=64 ready
	spawn victim $C2 900 java anon=20480 ready
	victim=$LAST
	spawn trigger $C3 900 log-shipper anon=2048 ready go grow=64:14336
	expect victims=$victim trigger=$LAST killer=pod_limit limit_cgroup=$POD limit_bytes=$((32 * MIB)) victim_cgroup=$C2
	kill_of $victim
}

scenario_group_kill() {
	[ "$CGROUPS" = v2 ] || { fact skip why='memory.oom.group is of cgroup v2'; return; }
	cgroupfs_pod guaranteed
	make $C1
	limit $C1 $((24 * MIB))
	echo 1 > $ROOT$C1/memory.oom.group
	spawn member $C1 -997 nginx anon=1000 ready
	members=$LAST
	spawn member $C1 -997 nginx uid=33 anon=3000 ready
	members=$members,$LAST
	spawn exempt $C1 -1000 agent anon=500 ready
	spawn victim $C1 -997 php-fpm uid=33 anon=6000 ready go grow=64
	expect victims=$LAST,$members trigger=$LAST killer=container_limit limit_cgroup=$C1 limit_bytes=$((24 * MIB)) group=1
	kill_of $LAST
	died $(echo $members | tr , ' ')
}

# What fills the limit is nobody's: the process that wrote it has ended.
scenario_tmpfs_written() {
	cgroupfs_pod burstable
	make $C1
	limit $C1 $((24 * MIB))
	spawn filler $C1 950 cp file=/dev/shm/$S:19000 ready
	ready
	kill -9 $LAST
	wait $LAST
	PIDS=
	spawn victim $C1 950 app anon=1000 ready go grow=16
	expect victims=$LAST trigger=$LAST killer=container_limit limit_cgroup=$C1 limit_bytes=$((24 * MIB))
	kill_of $LAST
	rm /dev/shm/$S
}

scenario_tmpfs_mapped() {
	systemd_pod besteffort cri-containerd
	make $C1
	limit $C1 $((20 * MIB))
	spawn bystander $C1 1000 sidecar anon=1000 ready
	spawn victim $C1 1000 mapper map=/dev/shm/$S:8000 ready go map=/dev/shm/$S-2:40000
	expect victims=$LAST trigger=$LAST killer=container_limit limit_cgroup=$C1 limit_bytes=$((20 * MIB))
	kill_of $LAST
	rm /dev/shm/$S /dev/shm/$S-2
}

scenario_forty_processes() {
	C1=/docker/$(container 1)
	make $C1
	limit $C1 $((32 * MIB))
	worker=1
	while [ $worker -lt 40 ]; do
		spawn member $C1 0 "worker-$worker" uid=$((worker % 3 * 1000)) anon=$((60 + worker * 8)) ready
		worker=$((worker + 1))
	done
	spawn victim $C1 0 gunicorn uid=1000 anon=4000 ready go grow=64
	expect victims=$LAST trigger=$LAST killer=cgroup_limit limit_cgroup=$C1 limit_bytes=$((32 * MIB))
	kill_of $LAST
}

# Kernel memory: an innocent process dies first, then the one that fills pipes.
scenario_pipes() {
	systemd_pod besteffort crio
	make $C1
	limit $C1 $((16 * MIB))
	spawn victim $C1 1000 innocent anon=3000 ready
	innocent=$LAST
	spawn trigger $C1 1000 pipe-leaker ready go pipes=-1
	expect victims=$innocent trigger=$LAST killer=container_limit limit_cgroup=$C1 limit_bytes=$((16 * MIB))
	expect victims=$LAST trigger=$LAST killer=container_limit limit_cgroup=$C1 limit_bytes=$((16 * MIB))
	kill_of $innocent $LAST
	sleep 0.6
}

scenario_slab() {
	C1=/system.slice/docker-$(container 1).scope
	make $C1
	limit $C1 $((12 * MIB))
	mkdir /dev/shm/$S
	spawn victim $C1 0 innocent anon=4000 ready
	innocent=$LAST
	spawn trigger $C1 0 mkdir-loop ready go dirs=/dev/shm/$S:60000
	expect victims=$innocent trigger=$LAST killer=cgroup_limit limit_cgroup=$C1 limit_bytes=$((12 * MIB))
	expect victims=$LAST trigger=$LAST killer=cgroup_limit limit_cgroup=$C1 limit_bytes=$((12 * MIB))
	kill_of $innocent $LAST
	rm -rf /dev/shm/$S
}

scenario_no_killable() {
	cgroupfs_pod guaranteed
	make $C1
	limit $C1 $((8 * MIB))
	spawn bystander $C1 -1000 exempt anon=500 ready
	spawn trigger $C1 -1000 exempt-too anon=1000 ready go file=/dev/shm/$S:32000
	expect trigger=$LAST killer=container_limit limit_cgroup=$C1 limit_bytes=$((8 * MIB)) no_killable=1
	ready
	go
	sleep 2
	rm /dev/shm/$S
}

# The same through page faults, which are tried again for ever: a report each time, dozens in a second.
scenario_no_killable_faults() {
	cgroupfs_pod guaranteed
	make $C1
	limit $C1 $((8 * MIB))
	spawn trigger $C1 -1000 exempt anon=1000 ready go grow=64
	expect trigger=$LAST killer=container_limit limit_cgroup=$C1 limit_bytes=$((8 * MIB)) no_killable=1
	ready
	go
	sleep 0.6
	kill -9 $LAST
	wait $LAST
	PIDS=
}

scenario_swap_limit() {
	[ -b /dev/vdb ] || { fact skip why='no disk to swap to'; return; }
	mkswap /dev/vdb > /dev/null && swapon /dev/vdb || { fact skip why='cannot swap'; return; }
	cgroupfs_pod burstable
	make $C1
	limit $C1 $((16 * MIB))
	if [ "$CGROUPS" = v2 ]; then
		echo $((8 * MIB)) > $ROOT$C1/memory.swap.max
	else
		echo $((24 * MIB)) > $ROOT$C1/memory.memsw.limit_in_bytes
	fi
	spawn bystander $C1 940 sidecar anon=500 ready
	spawn victim $C1 940 java anon=10000 ready go grow=64
	expect victims=$LAST trigger=$LAST killer=container_limit limit_cgroup=$C1 limit_bytes=$((16 * MIB)) swap=1
	kill_of $LAST
	finish
	swapoff /dev/vdb
	PIDS=
}

# The second NUMA node is small.
scenario_cpuset() {
	[ -d /sys/devices/system/node/node1 ] || { fact skip why='one NUMA node'; return; }
	cgroupfs_pod burstable
	make $C1
	echo 1 > ${CPUSET:-$ROOT}$C1/cpuset.mems
	spawn bystander - 100 elsewhere anon=10000 ready
	spawn victim $C1 800 numa-app anon=8000 ready go grow=256
	expect victims=$LAST trigger=$LAST killer=cpuset
	kill_of $LAST
}

scenario_mempolicy() {
	[ -d /sys/devices/system/node/node1 ] || { fact skip why='one NUMA node'; return; }
	cgroupfs_pod burstable
	make $C1
	spawn bystander - 0 elsewhere anon=10000 ready
	spawn bystander $C1 300 no-policy anon=9000 ready
	spawn victim $C1 900 bound bind=1 anon=2000 ready go grow=256
	expect victims=$LAST trigger=$LAST killer=memory_policy
	kill_of $LAST
}

scenario_sysrq() {
	cgroupfs_pod besteffort
	make $C1
	spawn bystander $C1 10 lucky anon=12000 ready
	spawn victim $C1 1000 unlucky anon=10000 ready
	expect victims=$LAST killer=node
	ready
	sleep 0.6
	echo f > /proc/sysrq-trigger
	died $LAST
}

scenario_no_task_table() {
	C1=/system.slice/docker-$(container 1).scope
	make $C1
	limit $C1 $((16 * MIB))
	echo 0 > /proc/sys/vm/oom_dump_tasks
	spawn bystander $C1 0 tini anon=64 ready
	spawn victim $C1 0 ruby anon=6000 ready go grow=64
	expect victims=$LAST trigger=$LAST killer=cgroup_limit limit_cgroup=$C1 limit_bytes=$((16 * MIB))
	kill_of $LAST
	echo 1 > /proc/sys/vm/oom_dump_tasks
}

scenario_three_at_once() {
	systemd_pod burstable cri-containerd
	third=$C1
	cgroupfs_pod burstable
	make $C1 $C2 $third
	index=0
	all_pids=
	for cgroup_of in $C1 $C2 $third; do
		limit $cgroup_of $((12 * MIB))
		spawn victim $cgroup_of 990 "at-once-$index" cpu=$((index % 2)) anon=6000 ready go grow=64
		expect victims=$LAST trigger=$LAST killer=container_limit limit_cgroup=$cgroup_of limit_bytes=$((12 * MIB))
		all_pids="$all_pids $LAST"
		index=$((index + 1))
	done
	sleep 1
	kill_of $all_pids
	sleep 1
}

scenario_odd_names() {
	cgroupfs_pod besteffort
	make $C1
	limit $C1 $((12 * MIB))
	spawn bystander $C1 1000 ']  1 2 3 x' anon=400 ready
	spawn bystander $C1 1000 'Killed process ' anon=400 ready
	index=0
	for odd in 'a) b, c=(d' 'x\ny: z' '\xff\xfe\x80bad' 'x,pid=1,uid=0' '' 'back\\\\sl\tab' '\x1b[31mred'; do
		index=$((index + 1))
		spawn victim $C1 1000 "$odd" anon=3000 ready go=$index grow=64
		expect victims=$LAST trigger=$LAST killer=container_limit limit_cgroup=$C1 limit_bytes=$((12 * MIB))
		ready
		go $index
		died $LAST
	done
}

# The container goes on: its first process lives, a child was killed.
scenario_pid_namespace() {
	C1=/docker/$(container 1)
	make $C1
	limit $C1 $((16 * MIB))
	PREFIX='unshare -p -f'
	spawn launcher $C1 0 tini anon=300 child name=worker anon=3000 ready go grow=64
	PREFIX=
	ready
	worker=
	for pid in $(cat $ROOT$C1/cgroup.procs); do
		[ "$(cat /proc/$pid/comm)" = worker ] && worker=$pid
	done
	expect victims=$worker trigger=$worker killer=cgroup_limit limit_cgroup=$C1 limit_bytes=$((16 * MIB))
	go
	died $worker
}

scenario_thread_trigger() {
	POD=/machine.slice/libpod-$(container 1).scope
	C1=$POD/container
	make $C1
	limit $POD $((16 * MIB))
	spawn bystander $C1 200 conmon anon=200 ready
	spawn victim $C1 200 java uid=1001 threads=5 anon=6000 ready go tgrow=G1-Conc#7:64
	expect victims=$LAST trigger_comm=G1-Conc#7 killer=cgroup_limit limit_cgroup=$POD limit_bytes=$((16 * MIB)) victim_cgroup=$C1
	kill_of $LAST
}

scenario_kubepods_limit() {
	cgroupfs_pod burstable 1
	trigger_cgroup=$C1
	cgroupfs_pod besteffort 2
	make $trigger_cgroup $C2
	limit /kubepods $((32 * MIB))
	limit $trigger_cgroup $((30 * MIB))
	spawn victim $C2 1000 best-effort anon=6000 ready
	victim=$LAST
	spawn trigger $trigger_cgroup 250 burst anon=10000 ready go grow=64:17000
	expect victims=$victim trigger=$LAST killer=ancestor_limit limit_cgroup=/kubepods limit_bytes=$((32 * MIB)) victim_cgroup=$C2
	kill_of $victim
}

# A node of a cluster that itself runs in a pod.
scenario_long_path() {
	cgroupfs_pod burstable
	inner=$(pod inner | tr - _)
	C1=$C1/docker/$(container node)/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-burstable.slice
	C1=$C1/kubelet-kubepods-burstable-pod$inner.slice/cri-containerd-$(container inner).scope
	make $C1
	limit $C1 $((12 * MIB))
	spawn victim $C1 900 deep-app uid=1000 anon=4000 ready go grow=64
	expect victims=$LAST trigger=$LAST killer=container_limit limit_cgroup=$C1 limit_bytes=$((12 * MIB))
	kill_of $LAST
}

# Containers come and go while one of them runs into its limit.
scenario_churn() {
	cgroupfs_pod burstable
	make $C1
	limit $C1 $((12 * MIB))
	spawn victim $C1 900 steady anon=4000 ready go grow=64
	expect victims=$LAST trigger=$LAST killer=container_limit limit_cgroup=$C1 limit_bytes=$((12 * MIB))
	ready
	victim=$LAST
	index=0
	while [ $index -lt 60 ]; do
		index=$((index + 1))
		mkdir $ROOT$POD/churn-$index
		[ $index -lt 6 ] || rmdir $ROOT$POD/churn-$((index - 5))
		[ $index != 30 ] || : > $D/go
	done
	died $victim
	rmdir $ROOT$POD/churn-*
}

# 137 all the same, and no case.
scenario_killed_from_outside() {
	cgroupfs_pod burstable
	make $C1
	limit $C1 $((24 * MIB))
	spawn bystander $C1 900 app anon=8000 ready
	ready
	kill -9 $LAST
	sleep 0.3
}

scenario_stalled_at_high() {
	[ "$CGROUPS" = v2 ] || { fact skip why='memory.high is of cgroup v2'; return; }
	cgroupfs_pod burstable
	make $C1
	limit $C1 $((48 * MIB))
	echo $((12 * MIB)) > $ROOT$C1/memory.high
	spawn bystander $C1 900 stalled anon=8000 ready go grow=64:40000
	fact stall cgroup=$C1
	ready
	go
	sleep 2
}

# Some milliseconds of memory between two reads, and a kill later on, so that there is a case to look for them in.
scenario_spike() {
	cgroupfs_pod burstable
	make $C1
	limit $C1 $((32 * MIB))
	spawn victim $C1 900 spiky anon=6000 ready go=first spike=8000:1:$D/spike ready go=second grow=64:14000 sleep=1200 grow=64
	expect victims=$LAST trigger=$LAST killer=container_limit limit_cgroup=$C1 limit_bytes=$((32 * MIB))
	ready
	sleep 1.5
	go first
	sleep 0.5
	read -r spike_from spike_to spike_bytes < $D/spike
	fact spike cgroup=$C1 from_us=$spike_from to_us=$spike_to bytes=$((spike_bytes + 6000 * 1024))
	sleep 1
	go second
	died $LAST
}

# One kill with the wall clock an hour ahead, one after it was set back.
scenario_clock_step() {
	cgroupfs_pod burstable
	make $C1
	limit $C1 $((12 * MIB))
	for step in 3600 -3600; do
		date -s "@$(($(date +%s) + step))" > /dev/null
		spawn victim $C1 900 "step$step" anon=4000 ready go=$step grow=64
		expect victims=$LAST trigger=$LAST killer=container_limit limit_cgroup=$C1 limit_bytes=$((12 * MIB)) wall_s=$(date +%s)
		ready
		go $step
		died $LAST
		sleep 1
	done
}

# Reports are rate-limited, kills are not: only the last line of most is in the log.
scenario_burst() {
	cgroupfs_pod burstable
	make $C1
	limit $C1 $((8 * MIB))
	index=0
	all_pids=
	while [ $index -lt 25 ]; do
		spawn victim $C1 980 "burst-$index" anon=200 ready go grow=256
		expect victims=$LAST killer=container_limit limit_cgroup=$C1 limit_bytes=$((8 * MIB)) report=maybe
		all_pids="$all_pids $LAST"
		index=$((index + 1))
	done
	kill_of $all_pids
	sleep 5
}

scenario_disk_full() {
	cgroupfs_pod burstable
	make $C1
	limit $C1 $((12 * MIB))
	dd if=/dev/zero of=/store/filler bs=64k 2>/dev/null
	for state in full freed; do
		spawn victim $C1 900 "disk-$state" anon=4000 ready go=$state grow=64
		expect victims=$LAST trigger=$LAST killer=container_limit limit_cgroup=$C1 limit_bytes=$((12 * MIB)) store=$state
		ready
		go $state
		died $LAST
		sleep 0.5
		rm -f /store/filler
	done
}

# SIGKILL of oomscope 0.3 s after a kill; a kill that nobody watches; one after the restart.
scenario_watcher_killed() {
	cgroupfs_pod burstable
	make $C1
	limit $C1 $((12 * MIB))
	for when in before while after; do
		spawn victim $C1 900 "$when" anon=4000 ready go=$when grow=64
		expect victims=$LAST trigger=$LAST killer=container_limit limit_cgroup=$C1 limit_bytes=$((12 * MIB)) watcher=$when
		ready
		go $when
		died $LAST
		# On a machine that is emulated, and so some fifty times slower, this stands for the 100 ms within which it is on disk.
		sleep 1
		case $when in
			before) stop_watch KILL ;;
			while) start_watch ;;
		esac
	done
}

# The machine is full, and whoever asks is killed, though it be oomscope; a service manager would start that again.
scenario_allocating_task() {
	cgroupfs_pod burstable 1
	allocator=$C1
	cgroupfs_pod besteffort 2
	make $allocator $C1
	echo 1 > /proc/sys/vm/oom_kill_allocating_task
	spawn bystander $C1 1000 besteffort anon=30000 ready
	spawn victim $allocator 100 allocator anon=8000 ready go grow=256
	kill_of $LAST
	echo 0 > /proc/sys/vm/oom_kill_allocating_task
	# Whoever was chosen may take a moment to die.
	sleep 1
	watcher=
	if [ -n "$WATCH" ] && is_dead $WATCH; then
		stop_watch KILL
		start_watch
		watcher=watcher=while
	fi
	expect victims=$LAST trigger=$LAST killer=node victim_cgroup=$allocator $watcher
}

scenario_node_wide() {
	cgroupfs_pod guaranteed 1
	guaranteed=$C1
	cgroupfs_pod burstable 2
	burstable=$C1
	cgroupfs_pod besteffort 3
	make $guaranteed $burstable $C1
	limit $guaranteed $((64 * MIB))
	spawn bystander $guaranteed -997 postgres anon=24000 ready
	spawn victim $C1 1000 batch-job anon=12000 ready
	victim=$LAST
	spawn trigger $burstable 3 python3 uid=1000 anon=16000 ready go grow=256
	expect victims=$victim killer=node victim_cgroup=$C1
	expect victims=$LAST killer=node victim_cgroup=$burstable
	kill_of $victim $LAST
	sleep 1
	if [ -n "$WATCH" ] && is_dead $WATCH; then fact note text='oomscope watch did not survive'; fi
}

# The watcher is stopped while the log is overwritten: what it lost is a gap, and the cgroup's counters still tell of the kill.
scenario_overrun() {
	cgroupfs_pod burstable
	make $C1
	limit $C1 $((12 * MIB))
	spawn victim $C1 900 overwritten anon=4000 ready go grow=64
	expect limit_cgroup=$C1 lost=$LAST
	ready
	sleep 1
	[ -z "$WATCH" ] || kill -STOP $WATCH
	go
	died $LAST
	$LOAD --spam 9000 "audit: filler $(printf '%0300d' 0)"
	[ -z "$WATCH" ] || kill -CONT $WATCH
	sleep 2
}
