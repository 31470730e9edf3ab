/* SPDX-License-Identifier: Apache-2.0 */
/* What the test programs need of the uAPI, for machines whose headers are older than iommufd. */
#ifndef IOMMU_H
#define IOMMU_H
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { DESTROY = 0x3b80, IOAS_ALLOC, IOAS_MAP = 0x3b85, IOAS_UNMAP, TEST_CMD = 0x3ba0 };
enum { FIXED_WR = 7, FIXED_R = 5 };
enum { MOCK_DOMAIN = 2, CHECK_MAP = 3, CHECK_REFS = 4, CREATE_ACCESS = 5, ACCESS_RW = 8 };
enum { RW_WRITE = 1, RW_SLOW = 4 };

struct destroy { uint32_t size, id; };
struct ioas_alloc { uint32_t size, flags, out_ioas_id; };
struct ioas_map { uint32_t size, flags, ioas_id, reserved; uint64_t user_va, length, iova; };
struct ioas_unmap { uint32_t size, ioas_id; uint64_t iova, length; };
struct test_cmd {
  uint32_t size, op, id, pad;
  union {
    struct { uint32_t out_stdev_id, out_hwpt_id, out_idev_id; } mock_domain;
    struct { uint64_t iova, length, uptr; } check_map;
    struct { uint64_t length, uptr; uint32_t refs; } check_refs;
    struct { uint32_t out_access_fd, flags; } create_access;
    struct { uint64_t iova, length, uptr; uint32_t flags; } access_rw;
    uint64_t room[7];
  };
};

#define CHECK(what)                                                        \
  do {                                                                     \
    if (!(what)) {                                                         \
      fprintf(stderr, "%s:%d: %s (errno %d %s)\n", __FILE__, __LINE__,     \
              #what, errno, strerror(errno));                              \
      exit(1);                                                             \
    }                                                                      \
  } while (0)

static inline int iommu_open(void) {
  int fd = open("/dev/iommu", O_RDWR | O_CLOEXEC);
  CHECK(fd >= 0);
  return fd;
}

static inline uint32_t new_ioas(int fd) {
  struct ioas_alloc cmd = {.size = sizeof(cmd)};
  CHECK(ioctl(fd, IOAS_ALLOC, &cmd) == 0);
  return cmd.out_ioas_id;
}

static inline int map(int fd, uint32_t ioas, void *at, uint64_t length, uint64_t iova, int flags) {
  struct ioas_map cmd = {.size = sizeof(cmd), .flags = flags, .ioas_id = ioas,
                         .user_va = (uintptr_t)at, .length = length, .iova = iova};
  return ioctl(fd, IOAS_MAP, &cmd);
}

static inline int unmap(int fd, uint32_t ioas, uint64_t iova, uint64_t length) {
  struct ioas_unmap cmd = {.size = sizeof(cmd), .ioas_id = ioas, .iova = iova, .length = length};
  return ioctl(fd, IOAS_UNMAP, &cmd);
}

/* A device with a page table for the address space: its table's id. */
static inline uint32_t mock_domain(int fd, uint32_t ioas) {
  struct test_cmd cmd = {.size = sizeof(cmd), .op = MOCK_DOMAIN, .id = ioas};
  CHECK(ioctl(fd, TEST_CMD, &cmd) == 0);
  return cmd.mock_domain.out_hwpt_id;
}

static inline int new_access(int fd, uint32_t ioas) {
  struct test_cmd cmd = {.size = sizeof(cmd), .op = CREATE_ACCESS, .id = ioas};
  CHECK(ioctl(fd, TEST_CMD, &cmd) == 0);
  return (int)cmd.create_access.out_access_fd;
}

static inline int check_map(int fd, uint32_t hwpt, uint64_t iova, void *at, uint64_t length) {
  struct test_cmd cmd = {.size = sizeof(cmd), .op = CHECK_MAP, .id = hwpt,
                         .check_map = {.iova = iova, .length = length, .uptr = (uintptr_t)at}};
  return ioctl(fd, TEST_CMD, &cmd);
}

static inline int check_refs(int fd, void *at, uint64_t length, uint32_t refs) {
  struct test_cmd cmd = {.size = sizeof(cmd), .op = CHECK_REFS,
                         .check_refs = {.length = length, .uptr = (uintptr_t)at, .refs = refs}};
  return ioctl(fd, TEST_CMD, &cmd);
}

static inline int access_rw(int fd, int access, uint64_t iova, void *at, uint64_t length, int flags) {
  struct test_cmd cmd = {.size = sizeof(cmd), .op = ACCESS_RW, .id = access,
                         .access_rw = {.iova = iova, .length = length, .uptr = (uintptr_t)at, .flags = flags}};
  return ioctl(fd, TEST_CMD, &cmd);
}
#endif
