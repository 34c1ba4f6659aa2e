/* Checks of cross.c on memory that workers share, and on what they sleep on. */
#include "cross.h"

#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <time.h>

/* Each group of words on a page of its own, as far as hosts are concerned. */
static struct counters {
  word sum, swapped, lock;
  _Alignas(page_bytes) uint64_t first;
  _Alignas(page_bytes) uint64_t second;
} *counters;

static void count_all(int worker) {
  for (long i = 0; i < rounds(1); i++) {
    if (!(broken() && worker == 1 && i == 0)) atomic_fetch_add(&counters->sum, 1);
    uint32_t seen = atomic_load(&counters->swapped);
    while (!atomic_compare_exchange_weak(&counters->swapped, &seen, seen + 1)) {
    }
    if (i % 8 != 0) continue;
    while (atomic_exchange(&counters->lock, 1) != 0) sched_yield();
    if (counters->first != counters->second) fail("a critical section was entered twice");
    counters->first++;
    counters->second++;
    atomic_store(&counters->lock, 0);
  }
}

long check_atomics(void) {
  pid_t children[workers_max];
  counters = shared(sizeof *counters);
  for (int i = 0; i < workers; i++) children[i] = start(i, count_all);
  for (int i = 0; i < workers; i++) join(children[i]);
  uint32_t all = (uint32_t)(rounds(1) * workers);
  uint32_t locked = (uint32_t)((rounds(1) + 7) / 8 * workers);
  if (counters->sum != all) fail("%u additions of %u are there", counters->sum, all);
  if (counters->swapped != all) fail("%u exchanges of %u are there", counters->swapped, all);
  if (counters->first != locked || counters->second != locked) fail("counts under a lock differ");
  return 2L * all + locked;
}

enum { message_words = 256 };
static struct {
  _Alignas(page_bytes) uint32_t words[message_words];
  _Alignas(page_bytes) word sent;
  _Alignas(page_bytes) word read;
} *mail;

static void read_messages(int worker) {
  (void)worker;
  for (uint32_t round = 1; round <= rounds(10); round++) {
    while (atomic_load_explicit(&mail->sent, memory_order_acquire) != round) sched_yield();
    for (uint32_t i = 0; i < message_words; i++) {
      if (mail->words[i] != round * message_words + i) {
        fail("word %u of message %u is %#x", i, round, mail->words[i]);
      }
    }
    atomic_store_explicit(&mail->read, round, memory_order_release);
  }
}

/* Plain stores, then a flag that another CPU polls: no system call makes them visible. */
long check_messages(void) {
  mail = shared(sizeof *mail);
  pid_t child = start(1, read_messages);
  for (uint32_t round = 1; round <= rounds(10); round++) {
    for (uint32_t i = 0; i < message_words; i++) mail->words[i] = round * message_words + i;
    if (broken()) mail->words[7] = 0;
    atomic_store_explicit(&mail->sent, round, memory_order_release);
    while (atomic_load_explicit(&mail->read, memory_order_acquire) != round) sched_yield();
  }
  join(child);
  return rounds(10) * message_words;
}

static struct {
  word turn;
  uint64_t last_ns;
} *times;

static uint64_t now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Takes every second turn: who was told a time never reads an earlier one. */
static void tell_times(int worker) {
  for (uint32_t turn = (uint32_t)worker; turn < 2 * rounds(4); turn += 2) {
    await(&times->turn, turn);
    uint64_t told = times->last_ns, now = now_ns();
    if (broken() && turn == 1) now -= 1000000000u;
    if (now < told) fail("time went back by %llu ns", (unsigned long long)(told - now));
    times->last_ns = now;
    set(&times->turn, turn + 1);
  }
}

long check_clock(void) {
  times = shared(sizeof *times);
  pid_t child = start(1, tell_times);
  tell_times(0);
  join(child);
  return 2 * rounds(4);
}

static struct {
  word generation;
  word answers;
} *bell;

static void hear_bell(int worker) {
  (void)worker;
  for (uint32_t round = 1; round <= rounds(4); round++) {
    await(&bell->generation, round);
    if (atomic_fetch_add(&bell->answers, 1) + 1 == (uint32_t)(workers - 1) * round) {
      futex_wake(&bell->answers, INT_MAX);
    }
  }
}

/* One wakes all others, who answer; a lost wake-up is a check that does not end. */
long check_futex(void) {
  pid_t children[workers_max];
  bell = shared(sizeof *bell);
  for (int i = 1; i < workers; i++) children[i] = start(i, hear_bell);
  for (uint32_t round = 1; round <= rounds(4); round++) {
    set(&bell->generation, broken() ? 0 : round);
    await(&bell->answers, (uint32_t)(workers - 1) * round);
  }
  for (int i = 1; i < workers; i++) join(children[i]);
  return rounds(4) * workers;
}

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t turned = PTHREAD_COND_INITIALIZER;
static long turn;

/* Threads take turns; who is not on sleeps on the condition. */
static void *take_turns(void *argument) {
  int worker = (int)(intptr_t)argument;
  pin(worker);
  for (long round = 0; round < rounds(4); round++) {
    pthread_mutex_lock(&mutex);
    while (turn != round * workers + worker) pthread_cond_wait(&turned, &mutex);
    if (!(broken() && worker == 1 && round == 0)) turn++;
    pthread_cond_broadcast(&turned);
    pthread_mutex_unlock(&mutex);
  }
  return NULL;
}

long check_mutex(void) {
  pthread_t threads[workers_max];
  for (int i = 0; i < workers; i++) {
    if (pthread_create(&threads[i], NULL, take_turns, (void *)(intptr_t)i) != 0) fail("no thread");
  }
  for (int i = 0; i < workers; i++) pthread_join(threads[i], NULL);
  return turn;
}
