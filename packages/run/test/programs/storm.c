/* SPDX-License-Identifier: Apache-2.0 */
/* Many threads that call while a timer interrupts them: no call may be lost, none made twice. */
#include "iommu.h"
#include <pthread.h>
#include <signal.h>
#include <sys/time.h>

static int fd, calls;
static unsigned char *given;
static volatile int signals;

static void interrupted(int number) {
  (void)number;
  signals++;
}

static void *work(void *unused) {
  (void)unused;
  for (int i = 0; i < calls; i++) {
    uint32_t id = new_ioas(fd);
    /* An id that nobody was told of, or that two were told of, shows at the end. */
    __atomic_fetch_add(&given[id], 1, __ATOMIC_RELAXED);
  }
  return 0;
}

int main(int argc, char **argv) {
  int threads = argc > 1 ? atoi(argv[1]) : 8;
  calls = argc > 2 ? atoi(argv[2]) : 30000;
  struct sigaction action = {.sa_handler = interrupted, .sa_flags = SA_RESTART};
  sigaction(SIGALRM, &action, 0);
  fd = iommu_open();
  given = calloc((size_t)threads * calls + 2, 1);
  struct itimerval every = {{0, 100}, {0, 100}};
  setitimer(ITIMER_REAL, &every, 0);
  pthread_t thread[64];
  for (int i = 0; i < threads; i++) CHECK(pthread_create(&thread[i], 0, work, 0) == 0);
  for (int i = 0; i < threads; i++) CHECK(pthread_join(thread[i], 0) == 0);
  every = (struct itimerval){{0, 0}, {0, 0}};
  setitimer(ITIMER_REAL, &every, 0);
  int lost = 0, twice = 0;
  for (int i = 1; i <= threads * calls; i++) {
    lost += given[i] == 0;
    twice += given[i] > 1;
  }
  uint32_t next = new_ioas(fd);
  printf("%d calls, %d signals, %d ids lost, %d given twice, next id %s\n", threads * calls, signals, lost, twice,
         next == (uint32_t)(threads * calls) + 1 ? "right" : "wrong");
  return lost || twice || next != (uint32_t)(threads * calls) + 1 || signals == 0;
}
