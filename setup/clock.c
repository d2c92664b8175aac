/*
 * Preloaded into programs, it sets their clock off by RAGSTONE_CLOCK_OFFSET seconds; see clockcheck.sh. Monotonic clocks and times of
 * files stay as they are.
 *
 * libfaketime does more, and cannot be used: in a signal handler that has interrupted a wait it gives the real time, by which PostgreSQL
 * takes a timeout that is over for one that is not, and waits for ever.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static time_t offset;
static int (*real_wait)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *);
static int (*real_lock)(pthread_mutex_t *, const struct timespec *);
static int (*real_semaphore)(sem_t *, const struct timespec *);

__attribute__((constructor)) static void begin(void) {
  const char *seconds = getenv("RAGSTONE_CLOCK_OFFSET");
  offset = seconds ? atoll(seconds) : 0;
  real_wait = dlvsym(RTLD_NEXT, "pthread_cond_timedwait", "GLIBC_2.3.2");
  if (!real_wait) real_wait = dlsym(RTLD_NEXT, "pthread_cond_timedwait");
  real_lock = dlsym(RTLD_NEXT, "pthread_mutex_timedlock");
  real_semaphore = dlsym(RTLD_NEXT, "sem_timedwait");
}

int clock_gettime(clockid_t clock, struct timespec *now) {
  int status = syscall(SYS_clock_gettime, clock, now);
  if (!status && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) now->tv_sec += offset;
  return status;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
  struct timespec exact;
  (void)zone;
  clock_gettime(CLOCK_REALTIME, &exact);
  now->tv_sec = exact.tv_sec;
  now->tv_usec = exact.tv_nsec / 1000;
  return 0;
}

time_t time(time_t *now) {
  struct timespec exact;
  clock_gettime(CLOCK_REALTIME, &exact);
  if (now) *now = exact.tv_sec;
  return exact.tv_sec;
}

int timespec_get(struct timespec *now, int base) { return base == TIME_UTC && !clock_gettime(CLOCK_REALTIME, now) ? base : 0; }

/* Until when, by the kernel's clock. A monotonic clock counts from the machine's start: it has not come to the year 2001. */
static const struct timespec *by_kernel(const struct timespec *until, struct timespec *space) {
  if (!until || until->tv_sec < 1000000000) return until;
  *space = *until;
  space->tv_sec -= offset;
  return space;
}

int pthread_cond_timedwait(pthread_cond_t *restrict condition, pthread_mutex_t *restrict mutex, const struct timespec *restrict until) {
  struct timespec space;
  return real_wait(condition, mutex, by_kernel(until, &space));
}

int pthread_mutex_timedlock(pthread_mutex_t *restrict mutex, const struct timespec *restrict until) {
  struct timespec space;
  return real_lock(mutex, by_kernel(until, &space));
}

int sem_timedwait(sem_t *restrict semaphore, const struct timespec *restrict until) {
  struct timespec space;
  return real_semaphore(semaphore, by_kernel(until, &space));
}
