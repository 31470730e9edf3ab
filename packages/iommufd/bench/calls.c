// SPDX-License-Identifier: Apache-2.0
// What the machine itself charges: two empty ioctl() calls, which a native program pays before any driver does anything,
// and memcpy. Reads lines "ROW N OPS SEED" and answers each with a line of JSON: nanoseconds for one operation.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1e9 + t.tv_nsec;
}

static double row_ioctls(uint32_t n, uint32_t ops) {
  volatile int sink = 0;
  double start = now();
  (void)n;
  for (uint32_t i = 0; i < ops; i++) {
    sink += ioctl(-1, 0x3b85, 0);
    sink += ioctl(-1, 0x3b86, 0);
  }
  return (now() - start) / ops;
}

static double row_memcpy(uint32_t n, uint32_t ops) {
  uint8_t *from = malloc(n + 64), *to = malloc(n);
  memset(from, 1, n + 64);
  memset(to, 2, n);
  double start = now();
  for (uint32_t i = 0; i < ops; i++) {
    memcpy(to, from + 64, n);
    __asm__ volatile("" : : "r"(to), "r"(from) : "memory");
  }
  double ns = (now() - start) / ops;
  free(from);
  free(to);
  return ns;
}

int main(void) {
  char row[32];
  uint32_t n, ops, seed;
  while (scanf("%31s %u %u %u", row, &n, &ops, &seed) == 4) {
    double ns = strcmp(row, "memcpy") == 0 ? row_memcpy(n, ops) : row_ioctls(n, ops);
    printf("{\"ns\":%.3f}\n", ns);
    fflush(stdout);
  }
  return 0;
}
