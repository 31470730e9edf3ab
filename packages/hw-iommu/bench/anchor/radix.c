// SPDX-License-Identifier: Apache-2.0
// A page table of x86_64 processors, four levels of 4 KiB tables, in one arena: the same words as ours, in C. Rows as in
// ../workload.ts; reads "ROW N OPS SEED" lines and answers {"ns": …, "check": …}, where check is the sum of what was found.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { PRESENT = 1, WRITE = 2, USER = 4, ACCESSED = 32, DIRTY = 64, LEAF = 128 };
#define LEAF_BITS (PRESENT | WRITE | USER | ACCESSED | DIRTY)
#define TABLE_BITS (PRESENT | WRITE | USER | ACCESSED)
#define ADDRESS 0xffffffffff000ull

static uint64_t *arena;
static size_t used, capacity;
static uint32_t *spare;
static size_t nspare;

static uint32_t table_new(void)
{
	if (nspare)
		return spare[--nspare];
	if (used == capacity) {
		capacity = capacity ? capacity * 2 : 64;
		arena = realloc(arena, capacity * 4096);
		spare = realloc(spare, capacity * sizeof(*spare));
	}
	memset(arena + used * 512, 0, 4096);
	return used++;
}

static void reset(void)
{
	used = nspare = 0;
	table_new();
}

static unsigned index_of(uint64_t iova, int level)
{
	return (iova >> (12 + 9 * level)) & 511;
}

/* The table of the level that translates the address, made when it is missing; UINT32_MAX when a leaf is in the way. */
static uint32_t descend(uint64_t iova, int level)
{
	uint32_t table = 0;

	for (int l = 3; l > level; l--) {
		size_t at = (size_t)table * 512 + index_of(iova, l);
		uint64_t word = arena[at];

		if (!(word & PRESENT)) {
			uint32_t below = table_new();

			arena[at] = ((uint64_t)below << 12) | TABLE_BITS;
			table = below;
		} else if (word & LEAF) {
			return UINT32_MAX;
		} else {
			table = (word & ADDRESS) >> 12;
		}
	}
	return table;
}

/* n leaves of the level from the address on, in one table after the other; frames one behind the other or listed. */
static int map(uint64_t iova, int level, const uint32_t *frames, uint64_t frame, size_t n)
{
	uint64_t size_bit = level ? LEAF : 0, step = 1ull << (9 * level);

	for (size_t done = 0; done < n;) {
		uint32_t table = descend(iova + (done << (12 + 9 * level)), level);
		unsigned at = index_of(iova + (done << (12 + 9 * level)), level);

		if (table == UINT32_MAX)
			return -1;
		uint64_t *words = arena + (size_t)table * 512;
		for (; at < 512 && done < n; at++, done++) {
			if (words[at] & PRESENT)
				return -1;
			words[at] = ((frames ? frames[done] : frame + done * step) << 12) | LEAF_BITS | size_bit;
		}
	}
	return 0;
}

/* Unmaps n leaves of the level; tables that are covered go. */
static void unmap(uint64_t iova, int level, size_t n)
{
	for (size_t done = 0; done < n;) {
		uint64_t here = iova + (done << (12 + 9 * level));
		uint32_t table = descend(here, level);
		unsigned at = index_of(here, level), first = at;

		for (; at < 512 && done < n; at++, done++)
			if (!(arena[(size_t)table * 512 + at] & PRESENT))
				return;
		memset(arena + (size_t)table * 512 + first, 0, (at - first) * 8);
		if (first == 0 && at == 512 && level < 3) {
			uint32_t above = descend(here, level + 1);

			arena[(size_t)above * 512 + index_of(here, level + 1)] = 0;
			spare[nspare++] = table;
		}
	}
}

static uint64_t walk(uint64_t iova)
{
	uint32_t table = 0;

	for (int level = 3;; level--) {
		uint64_t word = arena[(size_t)table * 512 + index_of(iova, level)];

		if (!(word & PRESENT))
			return 0;
		if (level == 0 || (word & LEAF)) {
			uint64_t inside = (1ull << (12 + 9 * level)) - 1;

			return (word & ADDRESS & ~inside) | (iova & inside);
		}
		table = (word & ADDRESS) >> 12;
	}
}

static uint32_t state;
static uint32_t next_random(void)
{
	state ^= state << 13;
	state ^= state >> 17;
	return state ^= state << 5;
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1e9 + t.tv_nsec;
}

#define BASE 0x100000000ull

int main(void)
{
	char row[32];
	unsigned long n, ops;
	unsigned seed;

	setvbuf(stdout, NULL, _IOLBF, 0);
	while (scanf("%31s %lu %lu %u", row, &n, &ops, &seed) == 4) {
		double ns = 0, start;
		uint64_t check = 0;
		unsigned long count = ops;
		uint32_t *frames = malloc(n * sizeof(*frames));

		state = seed * 2654435761u | 1;
		for (unsigned long i = 0; i < n; i++)
			frames[i] = (i * 7919 + 13) % 16777213;
		reset();
		if (!strcmp(row, "pages")) {
			start = now();
			for (unsigned long i = 0; i < n; i++)
				check += map(BASE + i * 4096, 0, NULL, frames[i], 1);
			ns = now() - start;
			count = n;
		} else if (!strcmp(row, "frames")) {
			start = now();
			check = map(BASE, 0, frames, 0, n);
			ns = now() - start;
			count = n;
		} else if (!strcmp(row, "run")) {
			start = now();
			check = map(BASE, 0, NULL, 1, n);
			ns = now() - start;
			count = n;
		} else if (!strcmp(row, "unmap")) {
			map(BASE, 0, frames, 0, n);
			start = now();
			unmap(BASE, 0, n);
			ns = now() - start;
			count = n;
		} else if (!strcmp(row, "pair")) {
			map(BASE, 0, frames, 0, n);
			start = now();
			for (unsigned long i = 0; i < ops; i++) {
				uint64_t iova = BASE + (uint64_t)(next_random() % n) * 4096;

				unmap(iova, 0, 1);
				check += map(iova, 0, NULL, 5, 1);
			}
			ns = now() - start;
		} else if (!strcmp(row, "large2m") || !strcmp(row, "large1g")) {
			int level = row[5] == '2' ? 1 : 2;

			start = now();
			for (unsigned long i = 0; i < ops; i += n) {
				check += map(0x8000000000ull, level, NULL, 0, n);
				unmap(0x8000000000ull, level, n);
			}
			ns = now() - start;
		} else {
			int is_random = !strcmp(row, "walk");

			map(BASE, 0, frames, 0, n);
			start = now();
			for (unsigned long i = 0; i < ops; i++) {
				unsigned long page = (is_random ? next_random() : i) % n;

				check += walk(BASE + page * 4096) >> 12;
			}
			ns = now() - start;
		}
		free(frames);
		printf("{\"ns\":%.3f,\"check\":%llu}\n", ns / count, (unsigned long long)(check & 0xffffffff));
	}
	return 0;
}
