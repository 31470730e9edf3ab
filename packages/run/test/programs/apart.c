/* SPDX-License-Identifier: Apache-2.0 */
/* Two programs that were started apart: one opens an iommufd, the other is passed it. */
#include "iommu.h"
#include <sys/socket.h>
#include <sys/un.h>

int main(int argc, char **argv) {
  CHECK(argc == 3);
  int gives = strcmp(argv[1], "give") == 0, s = socket(AF_UNIX, SOCK_STREAM, 0);
  struct sockaddr_un name = {.sun_family = AF_UNIX};
  socklen_t length = sizeof(sa_family_t) + 1 + snprintf(name.sun_path + 1, 100, "%s", argv[2]);
  char control[CMSG_SPACE(sizeof(int))] = {0}, byte = 'x';
  struct iovec part = {&byte, 1};
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
  int fd = -1;
  if (gives) {
    fd = iommu_open();
    CHECK(new_ioas(fd) == 1);
    CHECK(connect(s, (struct sockaddr *)&name, length) == 0);
    struct cmsghdr *head = CMSG_FIRSTHDR(&message);
    *head = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
    memcpy(CMSG_DATA(head), &fd, sizeof(fd));
    CHECK(sendmsg(s, &message, 0) == 1);
    return 0;
  }
  CHECK(bind(s, (struct sockaddr *)&name, length) == 0 && listen(s, 1) == 0);
  puts("ready");
  fflush(stdout);
  int c = accept(s, 0, 0);
  CHECK(recvmsg(c, &message, 0) == 1);
  memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(fd));
  CHECK(new_ioas(fd) == 2);
  puts("taken");
  return 0;
}
