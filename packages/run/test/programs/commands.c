/* SPDX-License-Identifier: Apache-2.0 */
/* Which commands a kernel has. */
#include "iommu.h"

static void try(int fd, unsigned cmd, const uint32_t *words) {
  static uint32_t arg[32];
  memcpy(arg, words, sizeof(arg));
  int rc = ioctl(fd, 0x3b00 | cmd, arg);
  const char *name = rc == 0 ? "0" : errno == ENOTTY ? "ENOTTY" : errno == E2BIG ? "E2BIG" : errno == ENOENT ? "ENOENT" : strerror(errno);
  printf("%x: %s\n", cmd, name);
}

int main(void) {
  int fd = iommu_open();
  uint32_t ioas = new_ioas(fd);
  try(fd, 0x85, (uint32_t[32]){40, 3, ioas, 0, 0, 0, 4096});
  /* HWPT_ALLOC with a data type, which its first struct did not have. */
  try(fd, 0x89, (uint32_t[32]){48, 0, 77, ioas, 0, 0, 1});
  /* GET_HW_INFO of a device that is not there. */
  try(fd, 0x8a, (uint32_t[32]){40, 0, 77});
  try(fd, 0x8e, (uint32_t[32]){16});
  try(fd, 0x8f, (uint32_t[32]){40});
  try(fd, 0x95, (uint32_t[32]){32});
  return 0;
}
