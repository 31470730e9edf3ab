// SPDX-License-Identifier: Apache-2.0
//
// What a native anchor offers to the workloads: a set of disjoint ranges [start, last] of u64
// addresses.

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

void areas_reset(void);
/** false if a stored range overlaps. */
bool areas_insert(uint64_t start, uint64_t last, int32_t value);
/** The value of the range that holds the address, or -1. */
int32_t areas_find(uint64_t address);
/** Removes the range that holds the address; false if there is none. */
bool areas_remove(uint64_t address);
/** First byte of the lowest hole at or above `from` of at least `length` bytes. */
bool areas_find_hole(uint64_t from, uint64_t length, uint64_t *start);
/** Bytes of memory in use for the ranges. */
size_t areas_bytes(void);
