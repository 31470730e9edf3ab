/* SPDX-License-Identifier: Apache-2.0 */
/* What becomes of an emulated descriptor: dup, fork, exec, passing to another process, the last close. */
#include "iommu.h"
#include <sys/socket.h>
#include <sys/stat.h>

static int is_there(int fd, uint32_t id) {
  /* An object that is used is busy, one that is not there is unknown. */
  struct ioas_unmap cmd = {.size = sizeof(cmd), .ioas_id = id, .length = UINT64_MAX};
  return ioctl(fd, IOAS_UNMAP, &cmd) == 0;
}

static void wait_ok(pid_t child) {
  int status;
  CHECK(child > 0 && waitpid(child, &status, 0) == child && status == 0);
}

static void duplicates(void) {
  int fd = iommu_open();
  uint32_t id = new_ioas(fd);
  int copy = dup(fd), high = fcntl(fd, F_DUPFD, 300);
  CHECK(copy >= 0 && high >= 300);
  close(fd);
  CHECK(is_there(copy, id) && is_there(high, id));
  CHECK(dup2(high, copy) == copy && is_there(copy, id));
  int other = iommu_open();
  CHECK(!is_there(other, id) && new_ioas(other) == 1);
}

static void forked(void) {
  int fd = iommu_open();
  uint32_t id = new_ioas(fd);
  pid_t child = fork();
  if (child == 0) {
    CHECK(is_there(fd, id) && new_ioas(fd) == id + 1);
    _exit(0);
  }
  wait_ok(child);
  CHECK(is_there(fd, id + 1));
}

static void executed(char **argv) {
  int fd = open("/dev/iommu", O_RDWR);
  CHECK(new_ioas(fd) == 1);
  int kept_only_here = iommu_open();
  pid_t child = fork();
  if (child == 0) {
    char a[16], b[16];
    sprintf(a, "%d", fd);
    sprintf(b, "%d", kept_only_here);
    execl("/proc/self/exe", argv[0], "after-exec", a, b, (char *)0);
    _exit(9);
  }
  wait_ok(child);
  CHECK(is_there(fd, 2));
}

static int after_exec(int fd, int closed) {
  CHECK(is_there(fd, 1) && new_ioas(fd) == 2);
  struct stat st;
  CHECK(fstat(closed, &st) == -1 && errno == EBADF);
  CHECK(fstat(fd, &st) == 0 && S_ISCHR(st.st_mode));
  return 0;
}

static void passed(void) {
  int pair[2];
  CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
  char control[CMSG_SPACE(sizeof(int))] = {0}, byte = 'x';
  struct iovec part = {&byte, 1};
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
  pid_t child = fork();
  if (child == 0) {
    int fd = iommu_open();
    CHECK(new_ioas(fd) == 1);
    struct cmsghdr *head = CMSG_FIRSTHDR(&message);
    *head = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
    memcpy(CMSG_DATA(head), &fd, sizeof(fd));
    CHECK(sendmsg(pair[1], &message, 0) == 1);
    _exit(0);
  }
  wait_ok(child);
  CHECK(recvmsg(pair[0], &message, 0) == 1);
  int fd;
  memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(fd));
  /* Its first owner is gone; the context is not. */
  CHECK(is_there(fd, 1) && new_ioas(fd) == 2);
}

static void released(void) {
  /* The page is not pinned any more as soon as the next open is answered. */
  char *at = mmap(0, 8192, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  for (int i = 0; i < 200; i++) {
    int fd = iommu_open();
    uint32_t ioas = new_ioas(fd);
    mock_domain(fd, ioas);
    CHECK(map(fd, ioas, at, 8192, 0x2000000, FIXED_WR) == 0);
    CHECK(check_refs(fd, at, 8192, 1) == 0);
    int copy = dup(fd);
    close(fd);
    CHECK(check_refs(copy, at, 8192, 1) == 0);
    close(copy);
    int next = iommu_open();
    CHECK(check_refs(next, at, 8192, 0) == 0);
    close(next);
  }
}

static void inside_structs(void) {
  /* A descriptor that a call returns is one like any other, and its close ends what it stands for. */
  int fd = iommu_open();
  uint32_t ioas = new_ioas(fd);
  int access = new_access(fd, ioas);
  struct destroy cmd = {.size = sizeof(cmd), .id = ioas};
  CHECK(ioctl(fd, DESTROY, &cmd) == -1 && errno == EBUSY);
  int copy = dup(access);
  close(access);
  CHECK(ioctl(fd, DESTROY, &cmd) == -1 && errno == EBUSY);
  close(copy);
  CHECK(ioctl(fd, DESTROY, &cmd) == 0);
}

static void failed_call(void) {
  /* A call that fails after it has promised a descriptor takes it back. */
  int fd = iommu_open();
  int free_before = dup(0);
  close(free_before);
  struct test_cmd cmd = {.size = sizeof(cmd), .op = CREATE_ACCESS, .id = 77};
  CHECK(ioctl(fd, TEST_CMD, &cmd) == -1);
  int free_after = dup(0);
  CHECK(free_after == free_before);
}

static void others(void) {
  /* Ioctls of other files, and of files that look like ours, are the kernel's. */
  int pair[2], number;
  CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) == 0);
  CHECK(ioctl(pair[0], 0x3b80, &number) == -1 && errno == ENOTTY);
  CHECK(ioctl(1234, 0x3b80, &number) == -1 && errno == EBADF);
  CHECK(open("/dev/iommu/x", O_RDWR) == -1 && errno != EPERM);
  CHECK(open("/dev/iommu", O_RDWR | O_DIRECTORY) == -1 && errno == ENOTDIR);
  CHECK(access("/dev/iommu", R_OK | W_OK) == 0 && access("/dev/vfio/vfio", R_OK) == 0);
  struct stat st;
  CHECK(stat("/dev/vfio/vfio", &st) == 0 && S_ISCHR(st.st_mode));
  int fd = iommu_open();
  char path[40];
  sprintf(path, "/proc/self/fd/%d", fd);
  CHECK(new_ioas(fd) == 1);
  int again = open(path, O_RDWR);
  CHECK(again >= 0 && new_ioas(again) == 1);
}

int main(int argc, char **argv) {
  if (argc > 3 && strcmp(argv[1], "after-exec") == 0) return after_exec(atoi(argv[2]), atoi(argv[3]));
  duplicates();
  forked();
  executed(argv);
  passed();
  released();
  inside_structs();
  failed_call();
  others();
  puts("descriptors");
  return 0;
}
