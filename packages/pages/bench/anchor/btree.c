// SPDX-License-Identifier: Apache-2.0
//
// The anchor "C limit": the structure of src/range-tree*.ts, decision for decision, as one would
// write it in C: u64 addresses, pointers, memmove. What it costs is what the design costs without a
// JavaScript engine.

#include <stdlib.h>
#include <string.h>

#include "areas.h"

enum { SLOTS = 32, ROOMY = 26, SPARSE = 12, CHUNK = 64 };

struct node {
  uint64_t hole; /* upper bound of the holes in front of the entries below */
  struct node *up, *next, *previous;
  int32_t count, level;
  uint64_t start[SLOTS];
  union {
    uint64_t last[SLOTS];
    uint64_t bound[SLOTS];
  };
  union {
    int32_t value[SLOTS];
    struct node *child[SLOTS];
  };
};

static struct node *root, *free_nodes;
static struct chunk {
  struct chunk *next;
  struct node nodes[CHUNK];
} *chunks;
static size_t used;

static void node_free(struct node *node) {
  node->next = free_nodes;
  free_nodes = node;
  used--;
}

static void chunk_free(struct chunk *chunk) {
  for (int i = CHUNK - 1; i >= 0; i--) node_free(&chunk->nodes[i]);
}

static struct node *node_alloc(int level) {
  if (!free_nodes) {
    struct chunk *chunk = malloc(sizeof *chunk);
    if (!chunk) abort();
    chunk->next = chunks;
    chunks = chunk;
    chunk_free(chunk);
    used += CHUNK;
  }
  struct node *node = free_nodes;
  free_nodes = node->next;
  used++;
  node->hole = 0;
  node->up = node->next = node->previous = NULL;
  node->count = 0;
  node->level = level;
  memset(node->start, 0xff, sizeof node->start);
  return node;
}

static int slot_of(const struct node *up, const struct node *node) {
  int slot = 0;
  while (up->child[slot] != node) slot++;
  return slot;
}

static void copy_slots(struct node *to, int to_slot, struct node *from, int slot, int n) {
  memmove(&to->start[to_slot], &from->start[slot], n * sizeof to->start[0]);
  memmove(&to->last[to_slot], &from->last[slot], n * sizeof to->last[0]);
  if (to->level) memmove(&to->child[to_slot], &from->child[slot], n * sizeof to->child[0]);
  else memmove(&to->value[to_slot], &from->value[slot], n * sizeof to->value[0]);
}

static void open_slot(struct node *node, int slot) {
  copy_slots(node, slot + 1, node, slot, node->count - slot);
  node->count++;
}

static void clear_slots(struct node *node, int slot, int n) {
  memset(&node->start[slot], 0xff, n * sizeof node->start[0]);
}

static void close_slot(struct node *node, int slot) {
  node->count--;
  copy_slots(node, slot, node, slot + 1, node->count - slot);
  clear_slots(node, node->count, 1);
}

static void set_hole(struct node *node, uint64_t hole) {
  node->hole = hole;
  if (node->up) node->up->bound[slot_of(node->up, node)] = hole;
}

static void finish_move(struct node *from, struct node *to, int slot, int n) {
  from->count -= n;
  to->count += n;
  if (to->level)
    for (int i = 0; i < n; i++) to->child[slot + i]->up = to;
  if (from->hole > to->hole) set_hole(to, from->hole);
}

static void move_right(struct node *from, struct node *to, int n) {
  int rest = from->count - n;
  copy_slots(to, n, to, 0, to->count);
  copy_slots(to, 0, from, rest, n);
  clear_slots(from, rest, n);
  finish_move(from, to, 0, n);
}

static void move_left(struct node *from, struct node *to, int n) {
  int end = to->count;
  copy_slots(to, end, from, 0, n);
  copy_slots(from, 0, from, n, from->count - n);
  clear_slots(from, from->count - n, n);
  finish_move(from, to, end, n);
}

static void separate(struct node *node) {
  node->up->start[slot_of(node->up, node)] = node->start[0];
}

static void write_child(struct node *up, int slot, struct node *child) {
  open_slot(up, slot);
  up->start[slot] = child->start[0];
  up->bound[slot] = child->hole;
  up->child[slot] = child;
  child->up = up;
}

static struct node *make_room(struct node *node, int *slot);

static struct node *after_move_right(struct node *node, struct node *right, int *slot, int rest) {
  if (*slot <= rest) return node;
  *slot -= rest;
  return right;
}

static struct node *split(struct node *node, int *slot) {
  struct node *right = node_alloc(node->level), *up = node->up;
  right->next = node->next;
  right->previous = node;
  node->next = right;
  if (right->next) right->next->previous = right;
  int n = *slot == SLOTS ? 1 : SLOTS / 2;
  move_right(node, right, n);
  if (!up) {
    up = root = node_alloc(node->level + 1);
    write_child(up, 0, node);
    up->start[0] = 0;
    up->hole = node->hole;
  }
  int at = slot_of(up, node) + 1;
  if (up->count == SLOTS) up = make_room(up, &at);
  write_child(up, at, right);
  return after_move_right(node, right, slot, SLOTS - n);
}

static struct node *make_room(struct node *node, int *slot) {
  struct node *next = node->next, *previous = node->previous;
  if (next && next->up == node->up && next->count <= (*slot == SLOTS ? SLOTS - 2 : ROOMY)) {
    int n = (SLOTS + 1 - next->count) / 2;
    move_right(node, next, n);
    separate(next);
    return after_move_right(node, next, slot, SLOTS - n);
  }
  if (previous && previous->up == node->up && previous->count <= ROOMY) {
    int count = previous->count, n = (SLOTS + 1 - count) / 2;
    move_left(node, previous, n);
    separate(node);
    if (*slot <= n) {
      *slot += count;
      return previous;
    }
    *slot -= n;
    return node;
  }
  return split(node, slot);
}

static void remove_child(struct node *up, struct node *child) {
  int slot = slot_of(up, child);
  if (slot == 0) up->start[1] = up->start[0];
  close_slot(up, slot);
  if (child->previous) child->previous->next = child->next;
  if (child->next) child->next->previous = child->previous;
  node_free(child);
}

static bool join(struct node *up, struct node *node) {
  struct node *next = node->next, *previous = node->previous;
  if (next && next->up == up && next->count + node->count <= ROOMY) {
    move_left(next, node, next->count);
    remove_child(up, next);
    return true;
  }
  if (previous && previous->up == up && previous->count + node->count <= ROOMY) {
    move_left(node, previous, node->count);
    remove_child(up, node);
    return true;
  }
  return false;
}

static void shrink(struct node *node) {
  struct node *up;
  while ((up = node->up) && node->count < SPARSE) {
    if (node->count == 0) remove_child(up, node);
    else if (!join(up, node)) return;
    node = up;
  }
  while (!root->up && root->level && root->count == 1) {
    struct node *child = root->child[0];
    node_free(root);
    root = child;
    root->up = NULL;
  }
}

// Counts as the TypeScript does, without branches: every fourth start, then the three between.
// Unused starts are UINT64_MAX, which an address may be too: hence the minimum.
static int count_up_to(const struct node *node, uint64_t address) {
  const uint64_t *s = node->start;
  int low = 0;
  for (int i = 4; i < SLOTS; i += 4) low += 4 * (s[i] <= address);
  low += 1 + (s[low + 1] <= address) + (s[low + 2] <= address) + (s[low + 3] <= address);
  low = s[0] <= address ? low : 0;
  return low < node->count ? low : node->count;
}

static struct node *locate(uint64_t address, int *slot) {
  struct node *node = root;
  while (node->level) node = node->child[count_up_to(node, address) - 1];
  *slot = count_up_to(node, address);
  return node;
}

/** Steps from a cursor to the entry in front of it. */
static struct node *before(struct node *leaf, int *slot) {
  if (*slot > 0) {
    --*slot;
    return leaf;
  }
  leaf = leaf->previous;
  if (leaf) *slot = leaf->count - 1;
  return leaf;
}

/** Steps from a cursor, which may stand behind the last entry of its leaf, to the entry at it. */
static struct node *behind(struct node *leaf, int *slot) {
  if (*slot < leaf->count) return leaf;
  *slot = 0;
  return leaf->next;
}

static void raise_bounds(struct node *leaf, int slot) {
  int before_slot = slot;
  uint64_t hole = leaf->start[slot];
  struct node *node = before(leaf, &before_slot);
  if (node) hole -= node->last[before_slot] + 1;
  for (node = leaf; hole > node->hole; node = node->up) {
    set_hole(node, hole);
    if (!node->up) return;
  }
}

// The memory stays: a new tree does not pay for fresh pages.
void areas_reset(void) {
  free_nodes = NULL;
  for (struct chunk *chunk = chunks; chunk; chunk = chunk->next) chunk_free(chunk);
  used = 0;
  root = node_alloc(0);
}

bool areas_insert(uint64_t start, uint64_t last, int32_t value) {
  int slot, at;
  struct node *leaf = locate(start, &slot), *node;
  at = slot;
  node = before(leaf, &at);
  if (node && node->last[at] >= start) return false;
  at = slot;
  node = behind(leaf, &at);
  if (node && node->start[at] <= last) return false;
  if (leaf->count == SLOTS) leaf = make_room(leaf, &slot);
  open_slot(leaf, slot);
  leaf->start[slot] = start;
  leaf->last[slot] = last;
  leaf->value[slot] = value;
  if (slot == leaf->count - 1) raise_bounds(leaf, slot);
  return true;
}

static struct node *holder(uint64_t address, int *slot) {
  struct node *leaf = locate(address, slot);
  leaf = before(leaf, slot);
  return leaf && leaf->last[*slot] >= address ? leaf : NULL;
}

int32_t areas_find(uint64_t address) {
  int slot;
  struct node *leaf = holder(address, &slot);
  return leaf ? leaf->value[slot] : -1;
}

bool areas_remove(uint64_t address) {
  int slot;
  struct node *leaf = holder(address, &slot), *next;
  if (!leaf) return false;
  close_slot(leaf, slot);
  next = leaf->next;
  if (leaf->count == 0) {
    shrink(leaf);
    if (next) raise_bounds(next, 0);
    return true;
  }
  next = behind(leaf, &slot);
  if (next) raise_bounds(next, slot);
  if (leaf->count < SPARSE) shrink(leaf);
  return true;
}

static struct node *next_leaf_with_hole(struct node *child, uint64_t length) {
  for (;;) {
    struct node *node = child->up;
    if (!node) return NULL;
    int slot = slot_of(node, child) + 1;
    for (;;) {
      while (slot < node->count && node->bound[slot] < length) slot++;
      if (slot == node->count) break;
      child = node->child[slot];
      if (!child->level) return child;
      node = child;
      slot = 0;
    }
    uint64_t largest = 0;
    for (int i = 0; i < node->count; i++)
      if (node->bound[i] > largest) largest = node->bound[i];
    set_hole(node, largest);
    child = node;
  }
}

/**
 * The first entry from `slot` on with `length` bytes free in front of it, or SLOTS; `last` is the
 * last before.
 */
static int slot_behind_hole(struct node *leaf, int slot, uint64_t length, uint64_t *last) {
  int at = slot;
  struct node *node = before(leaf, &at);
  uint64_t largest = 0;
  *last = node->last[at];
  for (int i = slot; i < leaf->count; i++) {
    uint64_t hole = leaf->start[i] - *last - 1;
    if (hole >= length) return i;
    if (hole > largest) largest = hole;
    *last = leaf->last[i];
  }
  if (slot == 0) set_hole(leaf, largest);
  return SLOTS;
}

bool areas_find_hole(uint64_t from, uint64_t length, uint64_t *start) {
  int slot, at;
  struct node *leaf = locate(from, &slot), *node;
  at = slot;
  node = before(leaf, &at);
  *start = from;
  if (node && node->last[at] >= from) {
    if (node->last[at] == UINT64_MAX) return false;
    *start = node->last[at] + 1;
  }
  leaf = behind(leaf, &slot);
  if (!leaf) return UINT64_MAX - *start >= length - 1;
  if (leaf->start[slot] - *start >= length) return true;
  uint64_t last;
  at = slot_behind_hole(leaf, slot + 1, length, &last);
  while (at == SLOTS) {
    leaf = next_leaf_with_hole(leaf, length);
    if (!leaf) {
      leaf = locate(UINT64_MAX, &at);
      last = leaf->last[at - 1];
      if (last == UINT64_MAX) return false;
      *start = last + 1;
      return UINT64_MAX - *start >= length - 1;
    }
    at = slot_behind_hole(leaf, 0, length, &last);
  }
  *start = last + 1;
  return true;
}

size_t areas_bytes(void) { return used * sizeof(struct node); }
