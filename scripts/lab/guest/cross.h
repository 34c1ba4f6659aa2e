/* What the checks of cross.c share: workers pinned to CPUs, words to wait on, and how to fail. */
#define _GNU_SOURCE
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

typedef _Atomic uint32_t word;

enum { workers_max = 16, page_bytes = 4096 };

/* One worker for each CPU of the command line; neighbours should be CPUs of different hosts. */
extern int workers;

/* Rounds of a check that takes `share` of what the cheapest one takes per round; never 0. */
long rounds(int share);

/* The check that runs now is to go wrong, so that it can be seen to notice. */
bool broken(void);

/* Prints "FAIL name what" and ends all processes of the run. */
_Noreturn void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Moves the calling thread to the CPU of a worker. */
void pin(int worker);

/* Zeroed memory that forked processes share. */
void *shared(size_t bytes);

/* A process on the CPU of a worker, which ends with 0 when `body` returns. */
pid_t start(int worker, void (*body)(int worker));
void join(pid_t child);

/* Sleeps until the word has the value; `set` stores it and wakes all who wait for that. */
void await(word *at, uint32_t value);
void set(word *at, uint32_t value);

/* FUTEX_WAIT while the word is `seen`; FUTEX_WAKE of so many. Process-shared. */
void futex_wait(word *at, uint32_t seen);
int futex_wake(word *at, int most);

/* Each returns how many things it compared. */
long check_atomics(void);
long check_messages(void);
long check_futex(void);
long check_mutex(void);
long check_clock(void);
long check_pipes(void);
long check_signals(void);
long check_fork(void);
long check_mprotect(void);
long check_munmap(void);
long check_pagecache(void);
