/* Checks of cross.c on mappings that change while another CPU uses them. */
#include "cross.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sched.h>
#include <sys/mman.h>
#include <unistd.h>

static _Thread_local sigjmp_buf after_fault;
static _Thread_local volatile sig_atomic_t expected;

static void on_fault(int signal) {
  (void)signal;
  if (!expected) fail("a page that is there was refused");
  siglongjmp(after_fault, 1);
}

static struct {
  volatile uint32_t *page;
  word faults;
  word allowed;
  word over;
} target;

static void begin(void) {
  struct sigaction action = {.sa_handler = on_fault};
  sigaction(SIGSEGV, &action, NULL);
  memset(&target, 0, sizeof target);
  target.page = mmap(NULL, page_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (target.page == MAP_FAILED) fail("mmap: %s", strerror(errno));
}

static void run_beside(void *(*body)(void *), void (*here)(void)) {
  pthread_t thread;
  begin();
  if (pthread_create(&thread, NULL, body, NULL) != 0) fail("no thread");
  here();
  set(&target.over, 1);
  pthread_join(thread, NULL);
  munmap((void *)target.page, page_bytes);
  signal(SIGSEGV, SIG_DFL);
}

/* Tells that an access was refused, and waits for the one after which it is allowed again. */
static void refused(uint32_t *faults) {
  expected = 0;
  *faults += 1;
  set(&target.faults, *faults);
  await(&target.allowed, *faults);
}

static void *store_always(void *argument) {
  pin(1);
  volatile uint32_t faults = 0;
  while (atomic_load(&target.over) == 0) {
    if (sigsetjmp(after_fault, 1) == 0) {
      expected = 1;
      *target.page += 1;
      expected = 0;
    } else {
      uint32_t seen = faults;
      refused(&seen);
      faults = seen;
    }
  }
  return argument;
}

static void protect_often(void) {
  for (uint32_t round = 1; round <= rounds(20); round++) {
    uint32_t before = *target.page;
    while (*target.page == before) sched_yield();
    if (!broken() && mprotect((void *)target.page, page_bytes, PROT_READ) != 0) fail("mprotect");
    before = *target.page;
    await(&target.faults, round);
    if (*target.page != before) fail("a store landed on a page protected before (round %u)", round);
    if (mprotect((void *)target.page, page_bytes, PROT_READ | PROT_WRITE) != 0) fail("mprotect");
    set(&target.allowed, round);
  }
}

/* One CPU stores all the time; once another has made the page read-only, no store lands. */
long check_mprotect(void) {
  run_beside(store_always, protect_often);
  return rounds(20);
}

static void *load_always(void *argument) {
  pin(1);
  volatile uint32_t faults = 0;
  while (atomic_load(&target.over) == 0) {
    if (sigsetjmp(after_fault, 1) == 0) {
      expected = 1;
      uint32_t seen = *target.page;
      expected = 0;
      if (seen != faults) fail("page %u was still there as page %u", seen, faults);
    } else {
      uint32_t seen = faults;
      refused(&seen);
      faults = seen;
    }
  }
  return argument;
}

static void unmap_often(void) {
  const int fixed = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
  for (uint32_t round = 1; round <= rounds(20); round++) {
    if (!broken()) munmap((void *)target.page, page_bytes);
    await(&target.faults, round);
    void *again = mmap((void *)target.page, page_bytes, PROT_READ | PROT_WRITE, fixed, -1, 0);
    if (again != target.page) fail("mmap: %s", strerror(errno));
    *target.page = round;
    set(&target.allowed, round);
  }
}

/* One CPU loads all the time; once another has unmapped the page, the old one is never seen. */
long check_munmap(void) {
  run_beside(load_always, unmap_often);
  return rounds(20);
}

enum { file_pages = 4, page_words = page_bytes / 4 };

static struct {
  word turn;
} *file_turn;
static int file;
static uint32_t *mapped;

static void paint(uint32_t *page, uint32_t colour) {
  for (uint32_t i = 0; i < page_words; i++) page[i] = colour * 0x10001u + i;
}

static void compare(const uint32_t *page, uint32_t colour, const char *way) {
  for (uint32_t i = 0; i < page_words; i++) {
    if (page[i] != colour * 0x10001u + i) fail("word %u by %s is %#x", i, way, page[i]);
  }
}

/* Reads what was written to the file by `pwrite`, and answers through its mapping. */
static void use_file(int worker) {
  (void)worker;
  static uint32_t page[page_words];
  for (uint32_t round = 0; round < rounds(10); round++) {
    off_t at = (off_t)(round % file_pages) * page_bytes;
    await(&file_turn->turn, 2 * round + 1);
    if (round % file_pages == 0 && mapped[page_words] != 0) fail("a page cut off is still mapped");
    if (pread(file, page, page_bytes, at) != page_bytes) fail("pread: %s", strerror(errno));
    compare(page, 2 * round, "pread");
    paint(mapped + at / 4, 2 * round + 1);
    set(&file_turn->turn, 2 * round + 2);
  }
}

/* A file in memory: written here, read there, changed there by a mapping, read here; and cut. */
long check_pagecache(void) {
  static uint32_t page[page_words];
  char name[] = "/tmp/cross-XXXXXX";
  file = mkstemp(name);
  if (file < 0 || unlink(name) != 0) fail("%s: %s", name, strerror(errno));
  file_turn = shared(sizeof *file_turn);
  if (ftruncate(file, file_pages * page_bytes) != 0) fail("ftruncate: %s", strerror(errno));
  mapped = mmap(NULL, file_pages * page_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  if (mapped == MAP_FAILED) fail("mmap: %s", strerror(errno));
  pid_t child = start(1, use_file);
  for (uint32_t round = 0; round < rounds(10); round++) {
    off_t at = (off_t)(round % file_pages) * page_bytes;
    if (round % file_pages == 0) {
      if (ftruncate(file, 0) != 0 || ftruncate(file, file_pages * page_bytes) != 0) {
        fail("ftruncate: %s", strerror(errno));
      }
    }
    paint(page, 2 * round + (broken() ? 1 : 0));
    if (pwrite(file, page, page_bytes, at) != page_bytes) fail("pwrite: %s", strerror(errno));
    set(&file_turn->turn, 2 * round + 1);
    await(&file_turn->turn, 2 * round + 2);
    if (pread(file, page, page_bytes, at) != page_bytes) fail("pread: %s", strerror(errno));
    compare(page, 2 * round + 1, "mapping");
  }
  join(child);
  munmap(mapped, file_pages * page_bytes);
  close(file);
  return 2 * rounds(10) * page_words;
}
