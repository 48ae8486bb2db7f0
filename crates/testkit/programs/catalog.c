/* See README.md. */
#define _DEFAULT_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#if defined(__has_attribute)
#if __has_attribute(noipa)
#define ALONE __attribute__((noipa))
#endif
#endif
#ifndef ALONE
#define ALONE __attribute__((noinline))
#endif

enum { BLOCK = 4096, MIB = 1 << 20, ROUNDS_A_SECOND = 100 };

struct block {
	struct block *next;
	char text[BLOCK - sizeof(struct block *)];
};

struct work {
	size_t bytes;
	int keeps;
	int pauses;
};

static struct block *kept;

static void push(struct block **list, struct block *block)
{
	block->next = *list;
	*list = block;
}

/* What is not kept is freed, but not before all of it was there. */
static void settle(const struct work *work, struct block *list)
{
	while (list) {
		struct block *next = list->next;
		if (work->keeps)
			push(&kept, list);
		else
			free(list);
		list = next;
	}
}

static void pause_after(const struct work *work, size_t done)
{
	if (work->pauses && done % (MIB / 4) == 0)
		usleep(2000);
}

/* They differ in what they write, or a compiler would make one of the three. */
#define FUNCTION(name, letter)                                              \
	ALONE void name(const struct work *work)                            \
	{                                                                   \
		struct block *list = NULL;                                  \
		for (size_t done = 0; done < work->bytes; done += BLOCK) {  \
			struct block *block = malloc(sizeof(*block));       \
			if (!block)                                         \
				exit(4);                                    \
			memset(block->text, letter, sizeof(block->text));   \
			push(&list, block);                                 \
			pause_after(work, done);                            \
		}                                                           \
		settle(work, list);                                         \
	}

FUNCTION(parse_json, '{')
FUNCTION(build_index, '#')
FUNCTION(fill_cache, '=')

static const struct {
	const char *name;
	void (*run)(const struct work *);
} functions[] = { { "parse_json", parse_json }, { "build_index", build_index }, { "fill_cache", fill_cache } };

ALONE int load_catalog(const char *name, size_t bytes, int leaks)
{
	int found = 0;
	for (size_t i = 0; i < 3; i++) {
		int chosen = strcmp(name, functions[i].name) == 0;
		struct work work = { chosen ? bytes : 2 * bytes, chosen, !leaks };
		if (chosen || leaks)
			functions[i].run(&work);
		found |= chosen;
	}
	return found;
}

ALONE int serve(const char *mode, const char *name, size_t mib, long seconds)
{
	if (strcmp(mode, "grow") == 0)
		return load_catalog(name, mib * MIB, 0) ? 3 : 2;
	for (long round = 0; round < seconds * ROUNDS_A_SECOND; round++) {
		if (!load_catalog(name, mib * MIB / ROUNDS_A_SECOND, 1))
			return 2;
		usleep(1000000 / ROUNDS_A_SECOND);
	}
	return 0;
}

int main(int argc, char **argv)
{
	char go[8];
	if (argc < 4)
		return 2;
	puts("ready");
	fflush(stdout);
	if (!fgets(go, sizeof(go), stdin) || strcmp(go, "go\n") != 0)
		return 2;
	return serve(argv[1], argv[2], strtoul(argv[3], NULL, 10), argc > 4 ? strtol(argv[4], NULL, 10) : 0);
}
