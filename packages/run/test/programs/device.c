/* SPDX-License-Identifier: Apache-2.0 */
/* A device opened by its own file: bound to an iommufd, attached, asked what it is, and given back. */
#include "iommu.h"

enum { BIND = 0x3b76, ATTACH = 0x3b77, DETACH = 0x3b78, GET_INFO = 0x3b6b, REGION_INFO = 0x3b6c, IRQ_INFO = 0x3b6d, RESET = 0x3b6f };

struct device_info { uint32_t argsz, flags, num_regions, num_irqs, cap_offset, pad; };
struct region_info { uint32_t argsz, flags, index, cap_offset; uint64_t size, offset; };

int main(void) {
  int iommufd = open("/dev/iommu", O_RDWR), device = open("/dev/vfio/devices/vfio0", O_RDWR);
  CHECK(iommufd >= 0 && device >= 0);
  CHECK(open("/dev/vfio/devices/vfio1", O_RDWR) == -1 && errno == ENOENT);
  struct device_info info = {sizeof(info)};
  CHECK(ioctl(device, GET_INFO, &info) == -1 && errno == EINVAL);
  struct { uint32_t argsz, flags; int32_t iommufd; uint32_t out_devid; } bind = {sizeof(bind), 0, iommufd, 0};
  CHECK(ioctl(device, BIND, &bind) == 0 && bind.out_devid == 1);
  CHECK(open("/dev/vfio/0", O_RDWR) == -1 && errno == EBUSY);
  uint32_t ioas[3] = {sizeof(ioas)};
  CHECK(ioctl(iommufd, 0x3b81, ioas) == 0);
  struct { uint32_t argsz, flags, pt_id; } attach = {sizeof(attach), 0, ioas[2]};
  CHECK(ioctl(device, ATTACH, &attach) == 0 && attach.pt_id > ioas[2]);
  CHECK(ioctl(device, GET_INFO, &info) == 0 && info.flags == 3 && info.num_regions == 9 && info.num_irqs == 5);
  struct region_info bar = {sizeof(bar)};
  CHECK(ioctl(device, REGION_INFO, &bar) == 0 && bar.size == 4096 && bar.offset == 0);
  uint32_t irq[4] = {sizeof(irq), 0, 1, 0};
  CHECK(ioctl(device, IRQ_INFO, irq) == 0 && irq[3] == 1);
  CHECK(ioctl(device, RESET, 0) == 0);
  uint32_t detach[2] = {sizeof(detach)};
  CHECK(ioctl(device, DETACH, detach) == 0 && ioctl(device, DETACH, detach) == 0);
  printf("device\n");
  CHECK(close(device) == 0 && open("/dev/vfio/0", O_RDWR) >= 0);
  return 0;
}
