/* SPDX-License-Identifier: Apache-2.0 */
/* Calls without sense: any number, any bytes, any pointer. The program and the engine live on. */
#include "iommu.h"

static uint64_t state = 88172645463325252ull;

static uint64_t next(void) {
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return state;
}

int main(int argc, char **argv) {
  int calls = argc > 1 ? atoi(argv[1]) : 3000;
  unsigned char *page = mmap(0, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  CHECK(munmap(page + 4096, 4096) == 0);
  unsigned char *other = malloc(4096);
  memset(other, 0x5a, 4096);
  int fd = iommu_open(), compat = open("/dev/vfio/vfio", O_RDWR);
  for (int i = 0; i < calls; i++) {
    unsigned cmd = 0x3b00 | (0x60 + next() % 0x48);
    uint32_t *words = (uint32_t *)page;
    for (int w = 0; w < 64; w++) words[w] = next() % 5 == 0 ? (uint32_t)next() : next() % 4;
    words[0] = next() % 8 == 0 ? (uint32_t)next() : 8 + 4 * (next() % 20);
    void *arg = page;
    switch (next() % 8) {
      case 0: arg = page + 4096 - next() % 64; break;
      case 1: arg = (void *)(next() % 3 ? next() : ~0ull - next() % 64); break;
      case 2: memcpy(page + 4, &(void *){other}, 8); break;
    }
    ioctl(next() % 4 ? fd : compat, cmd | (next() % 16 == 0 ? (unsigned)next() << 16 : 0), arg);
    if (i % 500 == 499) {
      close(fd);
      fd = iommu_open();
    }
  }
  CHECK(new_ioas(iommu_open()) == 1);
  puts("garbage");
  return 0;
}
