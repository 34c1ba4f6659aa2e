/*
 * Runs in a Linux guest whose CPUs belong to several hosts: workers pinned to those CPUs do to each
 * other what programs of one machine do, and compare. One line a check, "ok NAME COUNT MS ms" or
 * "FAIL NAME what"; a last line says how all went. Exit code 0: all held, 1: one did not, 2: usage.
 *
 *   cross CPUS ROUNDS [limit=SECONDS] [break=NAME] [only=NAME]
 *
 * CPUS, say 0,2,1: one worker each. ROUNDS: how much, as a fault costs milliseconds on some hosts.
 * limit: of each check. break: lets that check do something wrong, which it must notice.
 */
#include "cross.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

int workers;
static int cpu_of[workers_max];
static long base_rounds;
static unsigned limit_seconds = 120;
static const char *broken_name = "";
static const char *only_name = "";
static const char *current = "";

static const struct {
  const char *name;
  long (*run)(void);
} checks[] = {
    {"atomics", check_atomics}, {"messages", check_messages},   {"clock", check_clock},
    {"futex", check_futex},     {"mutex", check_mutex},         {"pipes", check_pipes},
    {"signals", check_signals}, {"fork", check_fork},           {"mprotect", check_mprotect},
    {"munmap", check_munmap},   {"pagecache", check_pagecache},
};
enum { check_count = sizeof checks / sizeof *checks };

long rounds(int share) {
  long some = base_rounds / share;
  return some < 1 ? 1 : some;
}

bool broken(void) { return strcmp(broken_name, current) == 0; }

_Noreturn void fail(const char *format, ...) {
  char text[256];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  dprintf(STDOUT_FILENO, "FAIL %s %s\n", current, text);
  /* All processes of the run are one group, whose leader the first process waits for. */
  kill(0, SIGKILL);
  _exit(1);
}

void pin(int worker) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu_of[worker], &set);
  if (sched_setaffinity(0, sizeof set, &set) != 0) {
    fail("CPU %d: %s", cpu_of[worker], strerror(errno));
  }
}

void *shared(size_t bytes) {
  void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (at == MAP_FAILED) fail("mmap: %s", strerror(errno));
  return at;
}

pid_t start(int worker, void (*body)(int worker)) {
  pid_t child = fork();
  if (child < 0) fail("fork: %s", strerror(errno));
  if (child > 0) return child;
  pin(worker);
  body(worker);
  _exit(0);
}

void join(pid_t child) {
  int status;
  if (waitpid(child, &status, 0) != child) fail("waitpid: %s", strerror(errno));
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) fail("a worker ended with %#x", status);
}

void futex_wait(word *at, uint32_t seen) {
  syscall(SYS_futex, at, FUTEX_WAIT, seen, NULL, NULL, 0);
}

int futex_wake(word *at, int most) {
  return (int)syscall(SYS_futex, at, FUTEX_WAKE, most, NULL, NULL, 0);
}

void await(word *at, uint32_t value) {
  for (uint32_t seen; (seen = atomic_load(at)) != value;) futex_wait(at, seen);
}

void set(word *at, uint32_t value) {
  atomic_store(at, value);
  futex_wake(at, INT_MAX);
}

static void out_of_time(int signal) {
  (void)signal;
  fail("did not end within %u s", limit_seconds);
}

static int run_all(void) {
  setpgid(0, 0);
  signal(SIGALRM, out_of_time);
  for (int i = 0; i < check_count; i++) {
    if (only_name[0] != 0 && strcmp(only_name, checks[i].name) != 0) continue;
    current = checks[i].name;
    struct timespec before, after;
    clock_gettime(CLOCK_MONOTONIC, &before);
    pin(0);
    alarm(limit_seconds);
    long compared = checks[i].run();
    alarm(0);
    clock_gettime(CLOCK_MONOTONIC, &after);
    long ms = (after.tv_sec - before.tv_sec) * 1000 + (after.tv_nsec - before.tv_nsec) / 1000000;
    dprintf(STDOUT_FILENO, "ok %s %ld %ld ms\n", current, compared, ms);
  }
  return 0;
}

static bool read_cpus(char *list) {
  for (char *each = strtok(list, ","); each != NULL; each = strtok(NULL, ",")) {
    char *end;
    long cpu = strtol(each, &end, 10);
    if (*end != 0 || cpu < 0 || cpu >= CPU_SETSIZE || workers == workers_max) return false;
    cpu_of[workers++] = (int)cpu;
  }
  return workers >= 2;
}

static bool known(const char *name) {
  for (int i = 0; i < check_count; i++) {
    if (strcmp(name, checks[i].name) == 0) return true;
  }
  return false;
}

static bool read_option(const char *text) {
  if (sscanf(text, "limit=%u", &limit_seconds) == 1) return limit_seconds > 0;
  if (strncmp(text, "break=", 6) == 0) return known(broken_name = text + 6);
  if (strncmp(text, "only=", 5) == 0) return known(only_name = text + 5);
  return false;
}

int main(int count, char **arguments) {
  /* What check_fork runs on the other CPU. */
  if (count == 3 && strcmp(arguments[1], "child") == 0) return atoi(arguments[2]);
  bool good = count >= 3 && read_cpus(arguments[1]) && (base_rounds = atol(arguments[2])) > 0;
  for (int i = 3; good && i < count; i++) good = read_option(arguments[i]);
  if (!good) {
    fprintf(stderr, "usage: cross CPU,CPU[,CPU] ROUNDS [limit=SECONDS] [break=NAME] [only=NAME]\n");
    return 2;
  }
  pid_t child = fork();
  if (child == 0) return run_all();
  int status;
  if (child < 0 || waitpid(child, &status, 0) != child || status != 0) {
    printf("cross: FAILED\n");
    return 1;
  }
  printf("cross: all checks held on %d CPUs\n", workers);
  return 0;
}
