/* SPDX-License-Identifier: Apache-2.0 */
/* A VFIO container with a group: what is asked in the manner of every user of VFIO, and where containers differ. */
#include "iommu.h"

enum { SET_IOMMU = 0x3b66, GROUP_STATUS = 0x3b67, SET_CONTAINER = 0x3b68, GET_DEVICE_FD = 0x3b6a, MAP_DMA = 0x3b71, UNMAP_DMA };

struct dma_map { uint32_t argsz, flags; uint64_t vaddr, iova, size; };
struct dma_unmap { uint32_t argsz, flags; uint64_t iova, size; };

static const char *result(int rc) {
  return rc >= 0 ? "0" : errno == EINVAL ? "EINVAL" : errno == ENODEV ? "ENODEV" : errno == ENOENT ? "ENOENT" : strerror(errno);
}

int main(void) {
  int container = open("/dev/vfio/vfio", O_RDWR), group = open("/dev/vfio/0", O_RDWR);
  CHECK(container >= 0 && group >= 0);
  CHECK(open("/dev/vfio/1", O_RDWR) == -1 && errno == ENOENT);
  printf("set_iommu without a group: %s\n", result(ioctl(container, SET_IOMMU, 3)));
  CHECK(ioctl(group, SET_CONTAINER, &container) == 0);
  CHECK(ioctl(container, SET_IOMMU, 3) == 0);
  uint32_t status[2] = {8, 0};
  CHECK(ioctl(group, GROUP_STATUS, status) == 0 && status[1] == 3);
  int device = ioctl(group, GET_DEVICE_FD, "0000:01:00.0");
  CHECK(device > group && fcntl(device, F_GETFD) >= 0);
  char *at = mmap(0, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  struct dma_map map_cmd = {sizeof(map_cmd), 3, (uintptr_t)at, 0x100000, 8192};
  CHECK(ioctl(container, MAP_DMA, &map_cmd) == 0);
  struct dma_unmap half = {sizeof(half), 0, 0x100000, 4096};
  printf("half of a mapping: %s\n", result(ioctl(container, UNMAP_DMA, &half)));
  struct dma_unmap all = {sizeof(all), 0, 0x100000, 8192};
  CHECK(ioctl(container, UNMAP_DMA, &all) == 0 && all.size == 8192);
  return 0;
}
