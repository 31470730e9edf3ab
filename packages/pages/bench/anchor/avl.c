// SPDX-License-Identifier: Apache-2.0
//
// The anchor in the shape of a kernel: a balanced binary interval tree (AVL, each node with the
// highest last of its subtree), one record of 192 bytes per area from a slab with a free list, and
// holes found by walking the areas in order from the first one that matters.
//
// As a kernel does, inserting first asks for an overlap and then descends again to link the record,
// and a new record is cleared (its first 136 bytes, the fields of an area).

#include <stdlib.h>
#include <string.h>

#include "areas.h"

enum { CHUNK = 1024, RECORD = 192, FIELDS = 136 };

struct area {
  struct area *child[2], *up;
  uint64_t start, last, subtree_last;
  int32_t height, value;
  uint64_t rest[(RECORD - 56) / 8];
};

static struct area *root, *free_areas;
static struct chunk {
  struct chunk *next;
  struct area areas[CHUNK];
} *chunks;
static size_t used;

static void area_free(struct area *area) {
  area->up = free_areas;
  free_areas = area;
  used--;
}

static void chunk_free(struct chunk *chunk) {
  for (int i = CHUNK - 1; i >= 0; i--) area_free(&chunk->areas[i]);
}

static struct area *area_alloc(void) {
  if (!free_areas) {
    struct chunk *chunk = malloc(sizeof *chunk);
    if (!chunk) abort();
    chunk->next = chunks;
    chunks = chunk;
    chunk_free(chunk);
    used += CHUNK;
  }
  struct area *area = free_areas;
  free_areas = area->up;
  used++;
  memset(area, 0, FIELDS);
  return area;
}

static int height(const struct area *a) { return a ? a->height : 0; }

static void refresh(struct area *a) {
  int l = height(a->child[0]), r = height(a->child[1]);
  uint64_t last = a->last;
  if (a->child[0] && a->child[0]->subtree_last > last) last = a->child[0]->subtree_last;
  if (a->child[1] && a->child[1]->subtree_last > last) last = a->child[1]->subtree_last;
  a->height = (l > r ? l : r) + 1;
  a->subtree_last = last;
}

static void replace(struct area *old, struct area *up, struct area *new) {
  if (!up) root = new;
  else up->child[up->child[1] == old] = new;
  if (new) new->up = up;
}

/** Turns `a` down to side `side`; its child of the other side takes its place. */
static struct area *rotate(struct area *a, int side) {
  struct area *b = a->child[!side], *inner = b->child[side];
  replace(a, a->up, b);
  b->child[side] = a;
  a->up = b;
  a->child[!side] = inner;
  if (inner) inner->up = a;
  refresh(a);
  refresh(b);
  return b;
}

/**
 * Restores heights and lasts from `a` upwards, as far as anything changes but at least up to `far`.
 */
static void rebalance(struct area *a, const struct area *far) {
  while (a) {
    int old_height = a->height;
    uint64_t old_last = a->subtree_last;
    if (a == far) far = NULL;
    int tilt = height(a->child[1]) - height(a->child[0]);
    if (tilt > 1 || tilt < -1) {
      int deep = tilt > 0;
      struct area *b = a->child[deep];
      if (height(b->child[!deep]) > height(b->child[deep])) rotate(b, deep);
      a = rotate(a, !deep);
    } else {
      refresh(a);
    }
    if (!far && a->height == old_height && a->subtree_last == old_last) return;
    a = a->up;
  }
}

/** The lowest area that overlaps [start, last]. */
static struct area *overlap(uint64_t start, uint64_t last) {
  struct area *a = root;
  if (!a || a->subtree_last < start) return NULL;
  for (;;) {
    if (a->child[0] && a->child[0]->subtree_last >= start) {
      a = a->child[0];
    } else if (a->start > last) {
      return NULL;
    } else if (a->last >= start) {
      return a;
    } else {
      a = a->child[1];
      if (!a || a->subtree_last < start) return NULL;
    }
  }
}

static struct area *next(struct area *a) {
  if (a->child[1]) {
    a = a->child[1];
    while (a->child[0]) a = a->child[0];
    return a;
  }
  while (a->up && a->up->child[1] == a) a = a->up;
  return a->up;
}

// The memory stays, as in a slab: a new tree does not pay for fresh pages.
void areas_reset(void) {
  root = free_areas = NULL;
  for (struct chunk *chunk = chunks; chunk; chunk = chunk->next) chunk_free(chunk);
  used = 0;
}

bool areas_insert(uint64_t start, uint64_t last, int32_t value) {
  if (overlap(start, last)) return false;
  struct area *area = area_alloc(), *up = NULL, **link = &root;
  area->start = start;
  area->last = area->subtree_last = last;
  area->height = 1;
  area->value = value;
  while (*link) {
    up = *link;
    if (up->subtree_last < last) up->subtree_last = last;
    link = &up->child[start > up->start];
  }
  area->up = up;
  *link = area;
  rebalance(up, NULL);
  return true;
}

int32_t areas_find(uint64_t address) {
  struct area *area = overlap(address, address);
  return area ? area->value : -1;
}

bool areas_remove(uint64_t address) {
  struct area *area = overlap(address, address), *from, *heir = NULL;
  if (!area) return false;
  if (area->child[0] && area->child[1]) {
    heir = area->child[1];
    while (heir->child[0]) heir = heir->child[0];
    from = heir->up;
    if (from == area) {
      from = heir;
    } else {
      replace(heir, from, heir->child[1]);
      heir->child[1] = area->child[1];
      heir->child[1]->up = heir;
    }
    heir->child[0] = area->child[0];
    heir->child[0]->up = heir;
    heir->height = area->height;
    heir->subtree_last = area->subtree_last;
    replace(area, area->up, heir);
  } else {
    from = area->up;
    replace(area, from, area->child[area->child[0] == NULL]);
  }
  area_free(area);
  rebalance(from, heir);
  return true;
}

bool areas_find_hole(uint64_t from, uint64_t length, uint64_t *start) {
  struct area *area = overlap(from, UINT64_MAX);
  uint64_t low = from;
  for (; area; area = next(area)) {
    if (area->start > low && area->start - low >= length) break;
    if (area->last == UINT64_MAX) return false;
    low = area->last + 1;
  }
  *start = low;
  return area || UINT64_MAX - low >= length - 1;
}

size_t areas_bytes(void) { return used * sizeof(struct area); }
