// SPDX-License-Identifier: Apache-2.0
//
// The native side of the area tree's benchmark: reads "ROW N OPS SEED" lines, runs that row on the
// structure this program is linked with, and answers one line of JSON with nanoseconds per
// operation, the bytes in use and a checksum, which must equal that of the TypeScript side. Each
// row here has its twin in ../workload.ts.

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "areas.h"

enum { OUTSTANDING = 64 };
static const uint64_t BASE = 1ull << 44;

static uint32_t n, ops, word, prepared;
static uint32_t *mapped, *unmapped, *first, *second;
static uint32_t check;

static uint32_t draw(uint32_t limit) {
  word ^= word << 13;
  word ^= word >> 17;
  word ^= word << 5;
  return (word >> 1) % limit;
}

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1e9 + t.tv_nsec;
}

static uint64_t slot_start(uint32_t slot) { return BASE + (uint64_t)slot * 8192; }

static bool map_slot(uint32_t slot) {
  return areas_insert(slot_start(slot), slot_start(slot) + 4095, (int32_t)slot);
}

static void *need(void *memory, size_t count) {
  memory = realloc(memory, count * sizeof(uint32_t));
  if (!memory) abort();
  return memory;
}

static void shuffle(uint32_t *slots, uint32_t count) {
  for (uint32_t i = count - 1; i > 0; i--) {
    uint32_t j = draw(i + 1), slot = slots[i];
    slots[i] = slots[j];
    slots[j] = slot;
  }
}

// n of 2n slots, chosen and inserted in random order.
static double row_insert(void) {
  for (uint32_t i = 0; i < 2 * n; i++) mapped[i] = i;
  shuffle(mapped, 2 * n);
  areas_reset();
  double t = now();
  for (uint32_t i = 0; i < n; i++) check += map_slot(mapped[i]);
  t = now() - t;
  prepared = n;
  return t / n;
}

// What the rows that need a random tree begin with, unless the row before left one: the same one
// for every seed.
static void prepare(void) {
  if (prepared == n) return;
  uint32_t seed = word;
  word = 1;
  row_insert();
  word = seed;
  check = 0;
}

// The n lowest slots in ascending order.
static double row_ascending(void) {
  areas_reset();
  prepared = 0;
  double t = now();
  for (uint32_t i = 0; i < n; i++) check += map_slot(i);
  return (now() - t) / n;
}

static double row_find(void) {
  prepare();
  for (uint32_t i = 0; i < ops; i++) first[i] = mapped[draw(n)];
  double t = now();
  for (uint32_t i = 0; i < ops; i++) check += areas_find(slot_start(first[i]) + 2048);
  return (now() - t) / ops;
}

// Unmaps a random area and maps another one elsewhere.
static double row_churn(void) {
  prepare();
  for (uint32_t i = 0; i < ops; i++) {
    uint32_t a = draw(n), b = draw(n);
    first[i] = mapped[a];
    second[i] = unmapped[b];
    mapped[a] = second[i];
    unmapped[b] = first[i];
  }
  double t = now();
  for (uint32_t i = 0; i < ops; i++) {
    check += areas_remove(slot_start(first[i]));
    check += map_slot(second[i]);
  }
  return (now() - t) / ops;
}

// Unmaps a random area and maps it again.
static double row_remap(void) {
  prepare();
  for (uint32_t i = 0; i < ops; i++) first[i] = mapped[draw(n)];
  double t = now();
  for (uint32_t i = 0; i < ops; i++) {
    check += areas_remove(slot_start(first[i]));
    check += map_slot(first[i]);
  }
  return (now() - t) / ops;
}

static uint64_t map_anywhere(void) {
  uint64_t start = 0;
  check += areas_find_hole(BASE, 8192, &start);
  check += areas_insert(start, start + 8191, 0);
  check += (uint32_t)(start >> 12);
  return start;
}

// n areas with a page between; 64 areas of two pages lie behind, and in each cycle a random one of
// these goes and another is put into the lowest hole that is large enough.
static double row_automatic(void) {
  uint64_t held[OUTSTANDING];
  row_ascending();
  for (uint32_t i = 0; i < OUTSTANDING; i++) held[i] = map_anywhere();
  double t = now();
  for (uint32_t i = 0; i < ops; i++) {
    uint32_t j = draw(OUTSTANDING);
    check += areas_remove(held[j]);
    held[j] = map_anywhere();
  }
  return (now() - t) / ops;
}

// One search for two pages after each of n areas was unmapped and mapped again.
static double row_search(void) {
  uint64_t start = 0;
  row_ascending();
  for (uint32_t i = 0; i < n; i++) mapped[i] = i;
  shuffle(mapped, n);
  for (uint32_t i = 0; i < n; i++) {
    check += areas_remove(slot_start(mapped[i]));
    check += map_slot(mapped[i]);
  }
  double t = now();
  check += areas_find_hole(BASE, 8192, &start);
  t = now() - t;
  check += (uint32_t)(start >> 12);
  return t / n;
}

int main(void) {
  static const struct {
    const char *name;
    double (*run)(void);
  } rows[] = {{"insert", row_insert}, {"ascending", row_ascending}, {"find", row_find},
              {"churn", row_churn},   {"remap", row_remap},         {"automatic", row_automatic},
              {"search", row_search}};
  char name[32];
  while (scanf("%31s %u %u %u", name, &n, &ops, &word) == 4) {
    check = 0;
    first = need(first, ops);
    second = need(second, ops);
    if (prepared != n) mapped = need(mapped, 2 * (size_t)n);
    unmapped = mapped + n;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
      if (strcmp(rows[i].name, name) != 0) continue;
      double ns = rows[i].run();
      printf("{\"ns\":%.3f,\"check\":%u,\"bytes\":%zu}\n", ns, check, areas_bytes());
    }
    fflush(stdout);
  }
  return 0;
}
