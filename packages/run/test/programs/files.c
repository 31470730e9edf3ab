/* SPDX-License-Identifier: Apache-2.0 */
/* The files that the kernel's selftests use beside ioctls. */
#include "iommu.h"
#include <dirent.h>

static long status_of(const char *field) {
  char line[256];
  long value = -1;
  FILE *file = fopen("/proc/self/status", "r");
  CHECK(file != 0);
  while (fgets(line, sizeof(line), file))
    if (strncmp(line, field, strlen(field)) == 0) value = atol(line + strlen(field));
  fclose(file);
  return value;
}

int main(void) {
  char path[64], text[16] = {0};
  DIR *debugfs = opendir("/sys/kernel/debug/");
  CHECK(debugfs != 0);
  int attribute = openat(dirfd(debugfs), "failslab/ignore-gfp-wait", O_WRONLY);
  CHECK(attribute >= 0 && write(attribute, "N", 1) == 1);

  int fd = iommu_open();
  snprintf(path, sizeof(path), "/proc/self/task/%d/fail-nth", getpid());
  int nth = open(path, O_RDWR | O_CLOEXEC);
  CHECK(nth >= 0 && pread(nth, text, sizeof(text), 0) == 2 && strcmp(text, "0\n") == 0);
  CHECK(pwrite(nth, "1", 1, 0) == 1);
  struct ioas_alloc cmd = {.size = sizeof(cmd)};
  CHECK(ioctl(fd, IOAS_ALLOC, &cmd) == -1 && errno == EFAULT);
  CHECK(pread(nth, text, sizeof(text), 0) == 2 && strcmp(text, "0\n") == 0);
  CHECK(pwrite(nth, "1000", 4, 0) == 4);
  uint32_t ioas = new_ioas(fd);
  CHECK(pread(nth, text, sizeof(text), 0) >= 4 && atoi(text) > 900);
  CHECK(pwrite(nth, "0", 1, 0) == 1);
  CHECK(write(nth, "x", 1) == -1 && errno == EINVAL);
  CHECK(write(nth, (void *)8, 1) == -1 && errno == EFAULT);

  char *at = mmap(0, 8192, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  CHECK(status_of("VmPin:") == 0);
  mock_domain(fd, ioas);
  CHECK(map(fd, ioas, at, 8192, 0x2000000, FIXED_WR) == 0);
  CHECK(status_of("VmPin:") == 8 && status_of("Pid:") == getpid());
  puts("files");
  return 0;
}
