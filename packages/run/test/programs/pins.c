/* SPDX-License-Identifier: Apache-2.0 */
/* What a device sees of memory that its program has unmapped, overwritten, shared, or left behind. */
#include "iommu.h"

#define PAGE 4096ul
#define IOVA 0x2000000ul

static int fd, access_fd;
static uint32_t ioas, hwpt;

static void setup(void) {
  fd = iommu_open();
  ioas = new_ioas(fd);
  hwpt = mock_domain(fd, ioas);
  access_fd = new_access(fd, ioas);
}

/* The first byte of page `page`, by pins: a range inside one page would go by the mapper's present addresses. */
static int seen(unsigned page) {
  unsigned char bytes[PAGE + 1];
  unsigned from = page == 0 ? 0 : page - 1;
  CHECK(access_rw(fd, access_fd, IOVA + from * PAGE, bytes, PAGE + 1, RW_SLOW) == 0);
  return page == 0 ? bytes[0] : bytes[PAGE];
}

static char *anonymous(unsigned long pages, int flags) {
  char *at = mmap(0, pages * PAGE, PROT_READ | PROT_WRITE, MAP_ANONYMOUS | flags, -1, 0);
  CHECK(at != MAP_FAILED);
  return at;
}

static void private_memory(void) {
  char *at = anonymous(4, MAP_PRIVATE);
  memset(at, 'a', 4 * PAGE);
  CHECK(map(fd, ioas, at, 4 * PAGE, IOVA, FIXED_WR) == 0);
  CHECK(seen(0) == 'a');
  at[PAGE] = 'b';
  CHECK(seen(1) == 'b');
  CHECK(check_map(fd, hwpt, IOVA, at, 4 * PAGE) == 0);
  char word[] = "written";
  CHECK(access_rw(fd, access_fd, IOVA + 2 * PAGE - 3, word, sizeof(word), RW_WRITE | RW_SLOW) == 0);
  CHECK(strcmp(at + 2 * PAGE - 3, word) == 0);
  CHECK(mmap(at, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == at);
  memset(at, 'z', 4 * PAGE);
  CHECK(seen(0) == 'a' && seen(1) == 'b');
  CHECK(check_map(fd, hwpt, IOVA, at, PAGE) == -1);
  CHECK(munmap(at, 4 * PAGE) == 0);
  CHECK(seen(3) == 'a');
}

static void read_only_memory(void) {
  int exe = open("/proc/self/exe", O_RDONLY);
  char *at = mmap(0, 2 * PAGE, PROT_READ, MAP_PRIVATE, exe, 0);
  CHECK(at != MAP_FAILED);
  CHECK(map(fd, ioas, at, 2 * PAGE, IOVA, FIXED_WR) == -1 && errno == EFAULT);
  CHECK(map(fd, ioas, at, 2 * PAGE, IOVA, FIXED_R) == 0);
  CHECK(seen(0) == 0x7f);
  CHECK(check_map(fd, hwpt, IOVA, at, PAGE) == 0);
  /* Writing must not give the program another page than the device's. */
  CHECK(mprotect(at, PAGE, PROT_READ | PROT_WRITE) == 0);
  at[0] = 'w';
  CHECK(check_map(fd, hwpt, IOVA, at, PAGE) == 0);
  CHECK(seen(0) == 'w');
}

static void shared_memory(void) {
  char *at = anonymous(4, MAP_SHARED);
  at[0] = 's';
  CHECK(map(fd, ioas, at, 4 * PAGE, IOVA, FIXED_WR) == 0);
  pid_t child = fork();
  if (child == 0) {
    at[0] = 'c';
    CHECK(check_map(fd, hwpt, IOVA, at, 4 * PAGE) == 0);
    _exit(0);
  }
  int status;
  CHECK(waitpid(child, &status, 0) == child && status == 0);
  CHECK(seen(0) == 'c');
  CHECK(munmap(at, 4 * PAGE) == 0);
  CHECK(seen(0) == 'c');
}

static void two_addresses(void) {
  int file = memfd_create("test", 0);
  CHECK(ftruncate(file, 4 * PAGE) == 0);
  char *a = mmap(0, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  char *b = mmap(0, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, file, PAGE);
  CHECK(map(fd, ioas, a, 4 * PAGE, IOVA, FIXED_WR) == 0);
  CHECK(check_map(fd, hwpt, IOVA, a, 4 * PAGE) == 0);
  CHECK(check_map(fd, hwpt, IOVA + PAGE, b, 2 * PAGE) == 0);
  CHECK(check_map(fd, hwpt, IOVA, b, PAGE) == -1);
  CHECK(check_refs(fd, b, PAGE, 1) == 0);
  CHECK(map(fd, ioas, b, 2 * PAGE, IOVA + 0x100000, FIXED_WR) == 0);
  CHECK(check_refs(fd, a + PAGE, 2 * PAGE, 2) == 0 && check_refs(fd, a, PAGE, 1) == 0);
  b[0] = 'm';
  b[PAGE] = 'n';
  CHECK(seen(1) == 'm' && seen(0x101) == 'n');
  /* The program keeps neither its descriptor nor its mappings. */
  close(file);
  munmap(a, 4 * PAGE);
  munmap(b, 2 * PAGE);
  CHECK(seen(1) == 'm');
}

static void mapper_gone(void) {
  char *at = anonymous(2, MAP_PRIVATE);
  memset(at, 'p', 2 * PAGE);
  pid_t child = fork();
  if (child == 0) {
    memset(at, 'q', 2 * PAGE);
    CHECK(map(fd, ioas, at, 2 * PAGE, IOVA, FIXED_WR) == 0);
    _exit(0);
  }
  int status;
  CHECK(waitpid(child, &status, 0) == child && status == 0);
  CHECK(at[0] == 'p');
  CHECK(seen(0) == 'q' && seen(1) == 'q');
}

static void bad_memory(void) {
  char *at = anonymous(3, MAP_PRIVATE);
  CHECK(mprotect(at + PAGE, PAGE, PROT_NONE) == 0);
  CHECK(munmap(at + 2 * PAGE, PAGE) == 0);
  CHECK(map(fd, ioas, at, 2 * PAGE, IOVA, FIXED_WR) == -1 && errno == EFAULT);
  CHECK(map(fd, ioas, at + 2 * PAGE, PAGE, IOVA, FIXED_WR) == -1 && errno == EFAULT);
  CHECK(map(fd, ioas, (void *)0xffff800000000000ul, PAGE, IOVA, FIXED_WR) == -1 && errno == EFAULT);
  CHECK(ioctl(fd, IOAS_ALLOC, 0) == -1 && errno == EFAULT);
  CHECK(ioctl(fd, IOAS_ALLOC, 0xfffffffffffffff0ul) == -1 && errno == EFAULT);
  CHECK(ioctl(fd, IOAS_ALLOC, at + PAGE) == -1 && errno == EFAULT);
  struct ioas_alloc *last = (void *)(at + PAGE - 4);
  last->size = 12;
  CHECK(ioctl(fd, IOAS_ALLOC, last) == -1 && errno == EFAULT);
  CHECK(check_refs(fd, at, PAGE, 0) == 0);
}

int main(int argc, char **argv) {
  struct { const char *name; void (*run)(void); } cases[] = {
      {"private", private_memory}, {"read-only", read_only_memory}, {"shared", shared_memory},
      {"two-addresses", two_addresses}, {"mapper-gone", mapper_gone}, {"bad", bad_memory},
  };
  for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    if (argc > 1 && strcmp(argv[1], cases[i].name) != 0) continue;
    setup();
    cases[i].run();
    close(access_fd);
    close(fd);
    printf("%s\n", cases[i].name);
  }
  return 0;
}
