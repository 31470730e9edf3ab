/* SPDX-License-Identifier: Apache-2.0 */
/* A dma-buf: made, mapped, passed to a child, revoked, closed while it is mapped. */
#include "iommu.h"

enum { IOAS_MAP_FILE = 0x3b8f, DMABUF_GET = 22, DMABUF_REVOKE = 23 };

struct map_file {
  uint32_t size, flags, ioas_id;
  int32_t fd;
  uint64_t start, length, iova;
};

static int dmabuf_op(int iommu, uint32_t op, uint32_t first, uint32_t second) {
  struct test_cmd cmd = {.size = sizeof(cmd), .op = op, .room = {first | (uint64_t)second << 32}};
  return ioctl(iommu, TEST_CMD, &cmd);
}

static int map_file(int iommu, uint32_t id, int fd, uint64_t iova) {
  struct map_file cmd = {.size = sizeof(cmd), .flags = FIXED_WR, .ioas_id = id, .fd = fd, .length = 4096, .iova = iova};
  return ioctl(iommu, IOAS_MAP_FILE, &cmd);
}

/* DMABUF_GET does not tell the descriptor: it is the lowest that is free. */
static int get(int iommu) {
  int fd = dup(0);
  CHECK(fd >= 0 && close(fd) == 0);
  CHECK(dmabuf_op(iommu, DMABUF_GET, 8192, O_RDWR | O_CLOEXEC) == 0);
  return fd;
}

int main(void) {
  int iommu = iommu_open();
  uint32_t id = new_ioas(iommu);
  int fd = get(iommu), other = get(iommu);
  CHECK(fd != other);
  CHECK(map_file(iommu, id, fd, 0x1000000) == 0 && map_file(iommu, id, other, 0x1001000) == 0);
  CHECK(dmabuf_op(iommu, DMABUF_REVOKE, iommu, 1) == -1 && errno == EINVAL);
  pid_t child = fork();
  if (child == 0) {
    CHECK(dmabuf_op(iommu, DMABUF_REVOKE, fd, 1) == 0);
    _exit(0);
  }
  int status;
  CHECK(child > 0 && waitpid(child, &status, 0) == child && status == 0);
  CHECK(map_file(iommu, id, fd, 0x1010000) == -1 && errno == ENODEV);
  CHECK(map_file(iommu, id, other, 0x1010000) == 0);
  CHECK(close(other) == 0);
  CHECK(get(iommu) == other && map_file(iommu, id, other, 0x1011000) == 0);
  CHECK(dmabuf_op(iommu, DMABUF_REVOKE, 700, 1) == -1 && errno == EBADF);
  puts("dmabuf");
  return 0;
}
