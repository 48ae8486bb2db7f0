/* load: what the processes of the scenarios do. One small static program; the operations are done in the order given.
 *
 *   name=STR        call itself so; \xNN, \n, \t and \\ are decoded
 *   cg=PATH         move into a cgroup by writing to this cgroup.procs
 *   adj=N           oom_score_adj
 *   uid=N  cpu=N    become this user; stay on this CPU
 *   bind=N          take memory from this NUMA node only
 *   anon=KB         touch so much private anonymous memory
 *   map=PATH:KB     write so much through a shared mapping of a (tmpfs) file;   file=PATH:KB  the same with write(2)
 *   pipes=N         fill N pipes (kernel memory); -1: until something dies
 *   dirs=PATH:N     make N directories (slab)
 *   threads=N       so many idle threads
 *   ready=PATH      make this file;   go=PATH  wait until there is this file
 *   grow=KB[:MAX]   touch more and more in such steps, up to MAX KB (0: until something dies)
 *   tgrow=NAME:KB   the same in a thread of this name
 *   spike=KB:MS:OUT touch, hold, give back, and append "from_us to_us bytes" (CLOCK_MONOTONIC) to OUT
 *   child           fork: the child goes on with the operations, the parent waits for it and then sleeps for ever
 *   sleep=MS
 *
 *   load --kmsg                   the whole ring buffer, as /dev/kmsg gives it
 *   load --spam N TEXT            N records into the ring buffer
 *   load --wait MS PID...         until all have died or the time is up, without allocating anything meanwhile
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void fail(const char *what)
{
	perror(what);
	exit(3);
}

static void put(const char *path, const char *text, int flags)
{
	int fd = open(path, O_WRONLY | flags, 0644);
	if (fd < 0 || write(fd, text, strlen(text)) < 0) fail(path);
	close(fd);
}

static char *reserve(long kb)
{
	char *at = mmap(0, kb * 1024, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (at == MAP_FAILED) fail("mmap");
	return at;
}

static void touch(char *at, long kb)
{
	for (long i = 0; i < kb; i += 4) at[i * 1024] = 1;
}

static void grow(long step, long max)
{
	long room = max ? max : 2L << 20;
	char *at = reserve(room);
	for (long done = 0; done + step <= room; done += step) touch(at + done * 1024, step);
}

static long now_us(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static void spike(long kb, long ms, const char *out)
{
	char *at = reserve(kb), line[100];
	long from = now_us();
	touch(at, kb);
	usleep(ms * 1000);
	munmap(at, kb * 1024);
	snprintf(line, sizeof line, "%ld %ld %ld\n", from, now_us(), kb * 1024);
	put(out, line, O_CREAT | O_APPEND);
}

static char thread_name[64];
static long thread_step;

static void *growing_thread(void *unused)
{
	(void)unused;
	prctl(PR_SET_NAME, thread_name);
	grow(thread_step, 0);
	return 0;
}

static void *idle_thread(void *unused)
{
	for (;;) pause();
	return unused;
}

static void decode(char *s)
{
	char *d = s;
	for (; *s; s++) {
		if (*s != '\\') { *d++ = *s; continue; }
		switch (*++s) {
		case 'x': { char hex[3] = { s[1], s[2], 0 }; *d++ = strtol(hex, 0, 16); s += 2; break; }
		case 'n': *d++ = '\n'; break;
		case 't': *d++ = '\t'; break;
		default: *d++ = *s;
		}
	}
	*d = 0;
}

/* Cuts "PATH:N" and gives N. */
static long cut(char *value)
{
	char *colon = strrchr(value, ':');
	if (!colon) { fprintf(stderr, "load: %s wants a number\n", value); exit(3); }
	*colon = 0;
	return atol(colon + 1);
}

static void write_file(const char *path, long kb, int mapped)
{
	static char block[16384];
	int fd = open(path, O_RDWR | O_CREAT, 0644);
	if (fd < 0) fail(path);
	if (mapped) {
		if (ftruncate(fd, kb * 1024)) fail("ftruncate");
		char *at = mmap(0, kb * 1024, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		if (at == MAP_FAILED) fail("mmap");
		touch(at, kb);
		return;
	}
	for (long i = 0; i < kb; i += 16) {
		/* Whoever cannot be killed is refused memory here; ending would ask for more and be refused for ever. */
		if (write(fd, block, sizeof block) < 0) for (;;) pause();
	}
}

static void pipes(long count)
{
	static char page[4096];
	struct rlimit files = { 60000, 60000 };
	setrlimit(RLIMIT_NOFILE, &files);
	for (long i = 0; count < 0 || i < count; i++) {
		int ends[2];
		if (pipe2(ends, O_NONBLOCK)) fail("pipe2");
		for (int j = 0; j < 16; j++) {
			if (write(ends[1], page, sizeof page) < 0) break;
		}
	}
}

static void directories(const char *in, long count)
{
	char path[300];
	for (long i = 0; i < count; i++) {
		snprintf(path, sizeof path, "%s/a-name-so-long-that-the-kernel-allocates-it-apart-%ld", in, i);
		if (mkdir(path, 0755)) return;
	}
}

static void child(void)
{
	pid_t pid = fork();
	if (!pid) return;
	waitpid(pid, 0, 0);
	for (;;) pause();
}

static void operation(char *op, char *value)
{
	long n = value ? atol(value) : 0;
	pthread_t thread;
	if (!strcmp(op, "name")) { decode(value); prctl(PR_SET_NAME, value); }
	else if (!strcmp(op, "cg")) { char pid[20]; snprintf(pid, sizeof pid, "%d", getpid()); put(value, pid, 0); }
	else if (!strcmp(op, "adj")) put("/proc/self/oom_score_adj", value, 0);
	else if (!strcmp(op, "uid")) { if (setgid(n) || setuid(n)) fail("setuid"); prctl(PR_SET_DUMPABLE, 1); }
	else if (!strcmp(op, "cpu")) { cpu_set_t set; CPU_ZERO(&set); CPU_SET(n, &set); sched_setaffinity(0, sizeof set, &set); }
	else if (!strcmp(op, "bind")) { unsigned long nodes = 1UL << n; if (syscall(SYS_set_mempolicy, 2, &nodes, 64)) fail("set_mempolicy"); }
	else if (!strcmp(op, "anon")) touch(reserve(n), n);
	else if (!strcmp(op, "map")) { n = cut(value); write_file(value, n, 1); }
	else if (!strcmp(op, "file")) { n = cut(value); write_file(value, n, 0); }
	else if (!strcmp(op, "pipes")) pipes(n);
	else if (!strcmp(op, "dirs")) { n = cut(value); directories(value, n); }
	else if (!strcmp(op, "threads")) while (n-- > 0) pthread_create(&thread, 0, idle_thread, 0);
	else if (!strcmp(op, "ready")) put(value, "", O_CREAT);
	else if (!strcmp(op, "go")) while (access(value, F_OK)) usleep(2000);
	else if (!strcmp(op, "grow")) { char *max = strchr(value, ':'); grow(n, max ? atol(max + 1) : 0); }
	else if (!strcmp(op, "tgrow")) {
		thread_step = cut(value);
		snprintf(thread_name, sizeof thread_name, "%s", value);
		pthread_create(&thread, 0, growing_thread, 0);
		pthread_join(thread, 0);
	}
	else if (!strcmp(op, "spike")) { char *ms = strchr(value, ':'), *out = ms ? strchr(ms + 1, ':') : 0; if (out) spike(n, atol(ms + 1), out + 1); }
	else if (!strcmp(op, "child")) child();
	else if (!strcmp(op, "sleep")) usleep(n * 1000);
	else { fprintf(stderr, "load: no operation %s\n", op); exit(2); }
}

static int dump_kmsg(void)
{
	static char record[16384];
	int fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK);
	for (;;) {
		ssize_t n = read(fd, record, sizeof record);
		if (n > 0) fwrite(record, 1, n, stdout);
		else if (n == 0 || errno != EPIPE) return 0; /* EPIPE: overwritten meanwhile, the next read goes on */
	}
}

static int spam(long count, const char *text)
{
	char line[600];
	int fd = open("/dev/kmsg", O_WRONLY);
	for (long i = 0; i < count; i++) {
		int length = snprintf(line, sizeof line, "%s %ld\n", text, i);
		if (write(fd, line, length) < 0) return 1;
	}
	return 0;
}

static int wait_for(long ms, char **pids)
{
	struct pollfd fds[64];
	int count = 0, alive = 1;
	for (; *pids && count < 64; pids++) {
		int fd = syscall(SYS_pidfd_open, atoi(*pids), 0);
		if (fd >= 0) fds[count++] = (struct pollfd){ fd, POLLIN, 0 };
	}
	mlockall(MCL_CURRENT | MCL_FUTURE);
	for (long waited = 0; alive && waited < ms; waited += 20) {
		alive = 0;
		for (int i = 0; i < count; i++) alive += poll(&fds[i], 1, 0) == 0;
		if (alive) poll(0, 0, 20);
	}
	return alive;
}

int main(int count, char **arguments)
{
	if (count > 1 && !strcmp(arguments[1], "--kmsg")) return dump_kmsg();
	if (count > 3 && !strcmp(arguments[1], "--spam")) return spam(atol(arguments[2]), arguments[3]);
	if (count > 3 && !strcmp(arguments[1], "--wait")) return wait_for(atol(arguments[2]), arguments + 3);
	for (int i = 1; i < count; i++) {
		char *value = strchr(arguments[i], '=');
		if (value) *value++ = 0;
		operation(arguments[i], value);
	}
	for (;;) pause();
}
