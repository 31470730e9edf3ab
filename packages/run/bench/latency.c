/* SPDX-License-Identifier: Apache-2.0 */
/* Nanoseconds of an ioctl that finds nothing (DESTROY of an id that is not there): the median of as many as asked for. */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <time.h>

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1e9 + t.tv_nsec;
}

static int compare(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return x < y ? -1 : x > y;
}

int main(int argc, char **argv) {
  int n = argc > 1 ? atoi(argv[1]) : 1, fd = open("/dev/iommu", O_RDWR);
  uint32_t destroy[2] = {8, 12345};
  double *took = malloc(n * sizeof(*took));
  for (int i = 0; i < n; i++) {
    double start = now();
    ioctl(fd, 0x3b80, destroy);
    took[i] = now() - start;
  }
  qsort(took, n, sizeof(*took), compare);
  printf("%.0f\n", took[n / 2]);
  return fd < 0;
}
