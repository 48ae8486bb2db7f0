# What the scenarios (scenarios.sh) are written in: cgroups as a cluster makes them, processes, facts; and the runner, which runs one
# after the other in one boot, each in cgroups of its own, while `oomscope watch` runs.
#
# What a scenario knows by itself goes to /out/facts, one fact a line, words and key=value separated by tabs:
#
#   scenario NAME from_us= to_us=        its span on CLOCK_MONOTONIC
#   process NAME pid= role= cgroup=      what it started
#   fate NAME pid= code=                 137: killed by SIGKILL; 0: alive to the end
#   expect NAME victims= killer= …       a kill that must be a case (see facts.rs for the keys)
#   explained - at_us=                   when explain read the log: what comes later is not in it
#   watch NAME run= signal= code=        how a run of the watcher ended
#   spike NAME cgroup= from_us= to_us= bytes=
#   stall NAME cgroup=                   was held up at memory.high
#   end - at_us= kernel= cgroups=
#   note NAME text=                      something that went otherwise than planned
#   skip NAME why=
#
# Needs ROOT (of the memory hierarchy), CGROUPS (v1|v2), CPUSET (root of v1's cpuset hierarchy, or empty).

MIB=1048576
LOAD=/load
TAB=$(printf '\t')

fact() {
	line=$1$TAB$S
	shift
	for word in "$@"; do line=$line$TAB$word; done
	printf '%s\n' "$line" >> /out/facts
}

now_us() {
	read -r now _ < /proc/uptime
	echo "${now%.*}${now#*.}0000"
}

# --- cgroups ---------------------------------------------------------------------------------------------------------

# Ids as container runtimes and the kubelet make them, of their own for each scenario.
container() { printf %s "$S-$1" | sha256sum | cut -c1-64; }
pod() { printf %s "$S-pod-$1" | sha256sum | sed -E 's/^(.{8})(.{4})(.{3})(.{3})(.{12}).*/\1-\2-4\3-a\4-\5/'; }

# The driver cgroupfs: POD, C1, C2, C3.
cgroupfs_pod() { # burstable|besteffort|guaranteed [NAME]
	case $1 in
		guaranteed) POD=/kubepods/pod$(pod "$2") ;;
		*) POD=/kubepods/$1/pod$(pod "$2") ;;
	esac
	C1=$POD/$(container 1) C2=$POD/$(container 2) C3=$POD/$(container 3)
}
# The driver systemd.
systemd_pod() { # burstable|besteffort RUNTIME
	POD=/kubepods.slice/kubepods-$1.slice/kubepods-$1-pod$(pod "" | tr - _).slice
	C1=$POD/$2-$(container 1).scope C2=$POD/$2-$(container 2).scope
}

make() { # CGROUP…
	for cgroup in "$@"; do
		at=""
		for name in $(echo "$cgroup" | tr / ' '); do
			if [ "$CGROUPS" = v2 ]; then
				echo '+memory +cpuset' > "$ROOT$at/cgroup.subtree_control"
			fi
			at=$at/$name
			[ -d "$ROOT$at" ] || { mkdir "$ROOT$at"; MADE="$at $MADE"; }
			if [ -n "$CPUSET" ] && [ ! -d "$CPUSET$at" ]; then
				mkdir "$CPUSET$at"
				cat $CPUSET/cpuset.cpus > "$CPUSET$at/cpuset.cpus"
				cat $CPUSET/cpuset.mems > "$CPUSET$at/cpuset.mems"
			fi
		done
	done
}

limit() { # CGROUP BYTES
	if [ "$CGROUPS" = v2 ]; then echo "$2" > "$ROOT$1/memory.max"; else echo "$2" > "$ROOT$1/memory.limit_in_bytes"; fi
}

# --- processes -------------------------------------------------------------------------------------------------------

# The operations are those of load.c; `ready` and `go[=NAME]` get their files here.
spawn() { # ROLE CGROUP|- OOM_SCORE_ADJ NAME OPERATION…
	role=$1 cgroup=$2 adj=$3 name=$4
	shift 4
	N=$((N + 1))
	for operation; do
		shift
		case $operation in
			ready) operation=ready=$D/ready$N WAITED="$WAITED $D/ready$N" ;;
			go) operation=go=$D/go ;;
			go=*) operation=go=$D/${operation#go=} ;;
		esac
		set -- "$@" "$operation"
	done
	set -- "adj=$adj" "name=$name" "$@"
	if [ "$cgroup" != - ]; then
		[ -z "$CPUSET" ] || set -- "cg=$CPUSET$cgroup/cgroup.procs" "$@"
		set -- "cg=$ROOT$cgroup/cgroup.procs" "$@"
	fi
	$PREFIX $LOAD "$@" &
	LAST=$!
	PIDS="$PIDS $LAST"
	fact process pid=$LAST role=$role cgroup=$cgroup
}

is_dead() { [ ! -d "/proc/$1" ] || grep -q '^State:.[ZX]' "/proc/$1/status" 2>/dev/null; }

# Until every process that said `ready` is.
ready() {
	until=$(($(now_us) + 30000000))
	for file in $WAITED; do
		while [ ! -e "$file" ]; do
			[ "$(now_us)" -lt $until ] || { fact note text='not ready in time'; break; }
			sleep 0.02
		done
	done
	WAITED=
}

# Lets them go. The kernel prints at most ten reports in five seconds (mm/oom_kill.c), and most scenarios are about a report.
go() { # [NAME]
	sleep 0.4
	: > "$D/${1:-go}"
}

died() { # PID…
	$LOAD --wait 20000 "$@" || fact note text="still alive: $*"
}

# All in one for a scenario in which one process dies.
kill_of() { # PID…
	ready
	go
	died "$@"
}

expect() { fact expect "$@"; }

finish() {
	for pid in $PIDS; do
		if is_dead "$pid"; then
			wait "$pid"
			fact fate pid="$pid" code=$?
		else
			fact fate pid="$pid" code=0
		fi
	done
	for cgroup in $MADE; do
		for pid in $(cat "$ROOT$cgroup/cgroup.procs"); do kill -9 "$pid" 2>/dev/null; done
	done
	for pid in $PIDS; do kill -9 "$pid" 2>/dev/null; done
	wait_all
	for cgroup in $MADE; do
		rmdir "$ROOT$cgroup" || { sleep 0.1; rmdir "$ROOT$cgroup"; }
		[ -z "$CPUSET" ] || rmdir "$CPUSET$cgroup"
	done 2>/dev/null
	MADE=
}

wait_all() { for pid in $PIDS; do wait "$pid" 2>/dev/null; done; }

run() { # NAME
	S=$1 N=0 PIDS="" WAITED="" MADE="" PREFIX="" D=/run/$1
	mkdir -m 1777 "$D"
	began=$(now_us)
	echo "guest: $1" > /dev/console
	"scenario_$1"
	finish
	fact scenario from_us="$began" to_us="$(now_us)"
}

# --- oomscope --------------------------------------------------------------------------------------------------------

can_watch() { /oomscope watch --help > /dev/null 2>&1; }

# Under a name of its own each time, so that the test sees which run printed what.
start_watch() {
	can_watch || return
	RUN=$((${RUN:-0} + 1))
	mkdir -p $ROOT/system.slice/oomscope.service
	(
		echo 0 > $ROOT/system.slice/oomscope.service/cgroup.procs
		exec /oomscope watch -o json --store /store/incidents.db
	) > /out/watch-$RUN.json 2> /out/watch-$RUN.err &
	WATCH=$!
	tries=0
	until grep -q ': watching ' /out/watch-$RUN.err || [ $tries -ge 200 ]; do
		tries=$((tries + 1))
		sleep 0.1
	done
	[ $tries -lt 200 ] || fact note text='oomscope watch does not say that it watches'
}

stop_watch() { # SIGNAL
	[ -n "$WATCH" ] || return
	kill "-$1" "$WATCH" 2>/dev/null
	wait "$WATCH"
	fact watch run=$RUN signal="$1" code=$?
	WATCH=
}

all() { # NAMES (empty: every scenario)
	S=-
	start_watch
	for name in ${1:-$NODE_LOCAL}; do
		case " $DISTURBING " in *" $name "*) ;; *) run "$name" ;; esac
	done
	S=-
	# While the log is still whole.
	fact explained at_us="$(now_us)"
	$LOAD --kmsg > /out/explain.kmsg
	/oomscope explain -o json /dev/kmsg > /out/explain.json 2> /out/explain.err
	for name in ${1:-$DISTURBING}; do
		case " $DISTURBING " in *" $name "*) run "$name" ;; esac
	done
	S=-
	sleep 1
	stop_watch TERM
	/oomscope incidents -o json --store /store/incidents.db > /out/incidents.json 2> /out/incidents.err
	fact end at_us="$(now_us)" kernel="$(uname -r)" cgroups="$CGROUPS"
}
