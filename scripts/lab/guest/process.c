/* Checks of cross.c between processes: pipes, signals, fork, exec and wait. */
#include "cross.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static int there[2], back[2];

static void write_all(int fd, const void *bytes, size_t length) {
  for (size_t done = 0; done < length;) {
    ssize_t some = write(fd, (const char *)bytes + done, length - done);
    if (some <= 0) fail("write: %s", strerror(errno));
    done += (size_t)some;
  }
}

static void read_all(int fd, void *bytes, size_t length) {
  for (size_t done = 0; done < length;) {
    ssize_t some = read(fd, (char *)bytes + done, length - done);
    if (some <= 0) fail("read: %s", some == 0 ? "the other end is gone" : strerror(errno));
    done += (size_t)some;
  }
}

enum { block_words = 2048 };

static void fill(uint32_t *block, uint32_t round) {
  uint32_t value = round * 2654435761u + 1;
  for (int i = 0; i < block_words; i++) block[i] = value = value * 1664525u + 1013904223u;
}

static void take_blocks(int worker) {
  (void)worker;
  static uint32_t block[block_words], wanted[block_words];
  for (uint32_t round = 0; round < rounds(4); round++) {
    read_all(there[0], block, sizeof block);
    fill(wanted, round);
    if (memcmp(block, wanted, sizeof block) != 0) fail("block %u came changed", round);
    write_all(back[1], &round, sizeof round);
  }
}

/* Blocks larger than a page one way, each answered by a word the other way. */
long check_pipes(void) {
  static uint32_t block[block_words];
  if (pipe(there) != 0 || pipe(back) != 0) fail("pipe: %s", strerror(errno));
  pid_t child = start(1, take_blocks);
  for (uint32_t round = 0, answer; round < rounds(4); round++) {
    fill(block, round);
    if (broken()) block[1500] ^= 0x100;
    write_all(there[1], block, sizeof block);
    read_all(back[0], &answer, sizeof answer);
    if (answer != round) fail("answer %u instead of %u", answer, round);
  }
  join(child);
  for (int i = 0; i < 2; i++) close(there[i]), close(back[i]);
  return rounds(4) * block_words;
}

/* Of a process that computes and is interrupted. */
static struct {
  word ready;
  word interrupted;
  word over;
} *spinner;

static void on_interrupt(int signal) {
  (void)signal;
  set(&spinner->interrupted, spinner->interrupted + 1);
}

static int next_value(int signal) {
  sigset_t wanted;
  siginfo_t info;
  sigemptyset(&wanted);
  sigaddset(&wanted, signal);
  while (sigwaitinfo(&wanted, &info) < 0) {
    if (errno != EINTR) fail("sigwaitinfo: %s", strerror(errno));
  }
  return info.si_value.sival_int;
}

static void send_value(pid_t to, int signal, int value) {
  if (sigqueue(to, signal, (union sigval){.sival_int = value}) != 0) {
    fail("sigqueue: %s", strerror(errno));
  }
}

static void answer_signals(int worker) {
  (void)worker;
  for (int round = 0; round < rounds(4); round++) {
    int value = next_value(SIGRTMIN);
    if (value != round) fail("signal %d brought %d", round, value);
    send_value(getppid(), SIGRTMIN + 1, value);
  }
  signal(SIGUSR1, on_interrupt);
  set(&spinner->ready, 1);
  while (atomic_load(&spinner->over) == 0) {
  }
}

/* Queued signals to one who waits, then signals to one who computes and never sleeps. */
long check_signals(void) {
  sigset_t queued;
  sigemptyset(&queued);
  sigaddset(&queued, SIGRTMIN);
  sigaddset(&queued, SIGRTMIN + 1);
  sigprocmask(SIG_BLOCK, &queued, NULL);
  spinner = shared(sizeof *spinner);
  pid_t child = start(1, answer_signals);
  for (int round = 0; round < rounds(4); round++) {
    send_value(child, SIGRTMIN, broken() ? round + 1 : round);
    int value = next_value(SIGRTMIN + 1);
    if (value != round) fail("the answer to signal %d brought %d", round, value);
  }
  await(&spinner->ready, 1);
  for (uint32_t round = 1; round <= rounds(20); round++) {
    if (kill(child, SIGUSR1) != 0) fail("kill: %s", strerror(errno));
    await(&spinner->interrupted, round);
  }
  set(&spinner->over, 1);
  join(child);
  sigprocmask(SIG_UNBLOCK, &queued, NULL);
  return 2 * rounds(4) + rounds(20);
}

/* Leaves a code that is not what the parent gave when it sees anything else than it should. */
static _Noreturn void be_child(int worker, volatile uint32_t *own, volatile uint32_t *common,
                               uint32_t round) {
  pin(worker);
  if (*own != round) fail("a child of round %u found %u in its copy", round, *own);
  *own = ~round;
  *common = round;
  char code[16];
  snprintf(code, sizeof code, "%u", broken() ? 99 : round % 90);
  execl("/proc/self/exe", "cross", "child", code, (char *)NULL);
  fail("exec: %s", strerror(errno));
}

/* Children that run elsewhere: what they write is theirs (a copy) or seen (shared), exec, wait. */
long check_fork(void) {
  volatile uint32_t *common = shared(page_bytes);
  volatile uint32_t *own =
      mmap(NULL, page_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (own == MAP_FAILED) fail("mmap: %s", strerror(errno));
  for (uint32_t round = 1; round <= rounds(20); round++) {
    int status, worker = (int)(round % (uint32_t)workers);
    *own = round;
    pid_t child = fork();
    if (child == 0) be_child(worker, own, common, round);
    if (child < 0 || waitpid(child, &status, 0) != child) fail("fork: %s", strerror(errno));
    if (!WIFEXITED(status) || WEXITSTATUS(status) != (int)(round % 90)) {
      fail("child %u ended with %#x", round, status);
    }
    if (*own != round) fail("child %u wrote its parent's copy", round);
    if (*common != round) fail("what child %u shared is lost", round);
  }
  return 4 * rounds(20);
}
