/* SPDX-License-Identifier: Apache-2.0 */
/* Page faults of a device: what has been queued is readable when the call that queued it returns, and wakes who waits. */
#include "iommu.h"
#include <poll.h>
#include <pthread.h>

enum { HWPT_ALLOC = 0x3b89, FAULT_QUEUE_ALLOC = 0x3b8e };
enum { REPLACE = 10, TRIGGER_IOPF = 15, FAULT_ID_VALID = 4, ROUNDS = 50 };

struct hwpt_alloc {
  uint32_t size, flags, dev_id, pt_id, out_hwpt_id, reserved, data_type, data_len;
  uint64_t data_uptr;
  uint32_t fault_id, reserved2;
};
struct fault_alloc { uint32_t size, flags, out_fault_id, out_fault_fd; };
struct pgfault {
  uint32_t flags, dev_id, pasid, grpid, perm, reserved;
  uint64_t addr;
  uint32_t length, cookie;
};
struct response { uint32_t cookie, code; };

static int fd, faults;
static uint32_t device, handle, ioas;

static uint32_t test_op(uint32_t op, uint32_t id, const uint32_t *words, unsigned count) {
  struct test_cmd cmd = {.size = sizeof(cmd), .op = op, .id = id};
  memcpy(cmd.room, words, count * sizeof(*words));
  CHECK(ioctl(fd, TEST_CMD, &cmd) == 0);
  device = op == MOCK_DOMAIN ? cmd.mock_domain.out_idev_id : device;
  return cmd.mock_domain.out_stdev_id;
}

static void trigger(uint32_t grpid) {
  uint32_t words[] = {device, 0, grpid, 1, 0x1000, 0};
  test_op(TRIGGER_IOPF, 0, words, 6);
}

/* A device with a table whose faults are queued. */
static void setup(void) {
  fd = iommu_open();
  ioas = new_ioas(fd);
  handle = test_op(MOCK_DOMAIN, ioas, &ioas, 0);
  struct fault_alloc queue = {.size = sizeof(queue)};
  CHECK(ioctl(fd, FAULT_QUEUE_ALLOC, &queue) == 0);
  faults = (int)queue.out_fault_fd;
  struct hwpt_alloc table = {.size = sizeof(table), .flags = FAULT_ID_VALID, .dev_id = device,
                             .pt_id = ioas, .fault_id = queue.out_fault_id};
  CHECK(ioctl(fd, HWPT_ALLOC, &table) == 0);
  test_op(REPLACE, handle, &table.out_hwpt_id, 1);
}

/* What is ready of `events`, waiting for so many milliseconds. */
static int ready(short events, int wait) {
  struct pollfd polled = {.fd = faults, .events = events};
  CHECK(poll(&polled, 1, wait) >= 0);
  return polled.revents;
}

static void answer(uint32_t grpid) {
  struct pgfault fault[4];
  CHECK(read(faults, fault, sizeof(fault)) == sizeof(fault[0]));
  CHECK(fault[0].grpid == grpid && fault[0].dev_id == device && fault[0].addr == 0x1000);
  struct response response = {.cookie = fault[0].cookie};
  CHECK(write(faults, &response, sizeof(response)) == sizeof(response));
  CHECK(write(faults, &response, sizeof(response)) == -1 && errno == EINVAL);
}

static void *later(void *grpid) {
  usleep(50000);
  trigger((uint32_t)(uintptr_t)grpid);
  return 0;
}

int main(void) {
  setup();
  for (uint32_t i = 1; i <= ROUNDS; i++) {
    CHECK(ready(POLLIN | POLLOUT, 0) == POLLOUT);
    trigger(i);
    CHECK(ready(POLLIN | POLLOUT, 0) == (POLLIN | POLLOUT));
    answer(i);
  }
  pthread_t thread;
  CHECK(pthread_create(&thread, 0, later, (void *)(uintptr_t)77) == 0);
  CHECK(ready(POLLIN, 5000) == POLLIN);
  pthread_join(thread, 0);
  answer(77);
  /* A fault that is dropped with its table can be read no more. */
  trigger(78);
  CHECK(ready(POLLIN | POLLOUT, 0) == (POLLIN | POLLOUT));
  test_op(REPLACE, handle, &ioas, 1);
  CHECK(ready(POLLIN | POLLOUT, 0) == POLLOUT);
  puts("faults");
  return 0;
}
