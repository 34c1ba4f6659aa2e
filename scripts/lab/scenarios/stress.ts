/** @module Debian's stress programs, which compare what they wrote, on CPUs of all hosts. */

import { linuxNodes, linuxScenario } from "./linux.ts";
import { clock, cpus, cross, dmesg, numa, spread, tuned } from "./questions.ts";
import { type Asked, type GuestProgram, maskOf, type Node, type Scenario } from "./types.ts";

/** What is not running, but ends: start, verification of the last round, clean-up. */
function limit(seconds: number, hosts: number): number {
  return hosts === 1 ? 2 * seconds + 120 : 2 * hosts * seconds + 200 * hosts;
}

/** One CPU of each host, or two of one. */
function pinnedTo(nodes: readonly Node[]): readonly number[] {
  return spread(nodes).slice(0, Math.max(2, nodes.length));
}

const badCount = "WARNING: bogo-ops counter in non-ready state";
const interrupted = "fail: *\\[\\d+\\] pipe: termination write failed, errno=4 \\(";

/**
 * What `stress-ng --verify` says where nothing differs: 0, or 7 for the counts of `atomic` alone.
 * That one ends its three children by SIGKILL, and one that is hit while it counts leaves the count
 * marked as unfinished (stress-ng 0.15, stress-atomic.c; EXIT_METRICS_UNTRUSTWORTHY). A difference
 * says "fail:" and ends it with 2. `pipe` says "fail:" and ends with 0, too, where its last write,
 * which waits for a slow reader, is interrupted by the alarm at the end (stress-pipe.c).
 */
export const stressNgHeld = new RegExp(
  `^(?![^]*(?:(?!${interrupted})fail:|error:))` +
    `(?:[^]*ended with 0|(?![^]*(?<!atomic: )${badCount})[^]*atomic: ${badCount}[^]*ended with 7)$`,
);

/**
 * Kernel interfaces and memory: one of each at once, on CPUs of all hosts. Once more where it ends
 * with 3 (EXIT_NO_RESOURCE): `vm` does, and names no reason, where its alarm has come before it
 * has begun (stress-vm.c), as happened to one in a guest over two hosts.
 */
function stressNg(seconds: number): Asked {
  return (nodes) => {
    const pinned = pinnedTo(nodes).join(",");
    const stressors =
      "--vm 1 --vm-bytes 4M --mmap 1 --mmap-bytes 1M --memcpy 1 --atomic 2 --futex 1 --pipe 1 " +
      "--fork 1";
    return {
      command:
        `ng() { stress-ng --verify --taskset ${pinned} ${stressors} --timeout ${seconds} ` +
        "--metrics-brief 2>&1; }; ng; code=$?; " +
        'if [ $code = 3 ]; then echo "once more"; ng; code=$?; fi; ' +
        'echo "stress-ng ended with $code"',
      answer: stressNgHeld,
      meaning: `stress-ng --verify on CPUs ${pinned} for ${seconds} s: nothing differs`,
      seconds: limit(seconds, nodes.length),
    };
  };
}

/** Copies between pages by several threads, and counters in one cache line by pinned threads. */
function stressAppTest(seconds: number): Asked {
  return (nodes) => ({
    command:
      `stressapptest -M 4 -p 65536 -s ${seconds} -m 2 -i 1 --cc_test --cc_line_count 2 ` +
      "--cc_inc_count 100 --pause_delay 10000 2>&1",
    answer: /^Status: PASS/m,
    meaning: `stressapptest for ${seconds} s: 0 hardware incidents, 0 errors`,
    seconds: limit(seconds, nodes.length),
  });
}

/** One on a CPU of each host, or on two of one, at once. */
function memTester(megabytes: number, seconds: number): Asked {
  return (nodes) => {
    const pinned = pinnedTo(nodes);
    const each = pinned.map((cpu) => {
      return (
        `(taskset ${maskOf(cpu)} memtester ${megabytes}M 1 >/tmp/memtester${cpu} 2>&1; ` +
        `echo "memtester on ${cpu} ended with $?") &`
      );
    });
    return {
      command: `${each.join(" ")} wait; grep -h FAIL /tmp/memtester*`,
      answer: new RegExp(`^(?![^]*(?:FAIL|with [1-9]))(?:[^]*ended with 0){${pinned.length}}`),
      meaning: `memtester on CPUs ${pinned.join(",")}, ${megabytes} MB each: nothing differs`,
      seconds: limit(seconds, nodes.length),
    };
  };
}

const programs: readonly GuestProgram[] = ["cross", "stress-ng", "stressapptest", "memtester"];

/** The initramfs with these programs is 38 MB, and for a while it is there twice. */
const nodeMb = 256;

/**
 * The kernel's self-tests of its cryptography start a thread for each algorithm, and one that waits
 * for another more than 60 s is a warning (crypto_larval_wait): on a busy machine a boot over
 * several emulated hosts takes minutes.
 */
const withoutSelfTests = "cryptomgr.notests";

/**
 * Brief: a minute of stress and one reboot, for `npm test`, without memtester, whose one pass takes
 * longer. Long: ten minutes and three.
 */
function stress(
  name: string,
  where: string,
  nodeCpus: readonly number[],
  length: "brief" | "long",
): Scenario {
  const brief = length === "brief";
  const seconds = brief ? { ng: 40, copies: 20 } : { ng: 360, copies: 180 };
  return {
    ...linuxScenario(name, `stress programs, ${brief ? "1 min" : "10 min"}, ${where}`, nodeCpus),
    nodes: linuxNodes(nodeCpus, nodeMb),
    append: brief ? undefined : withoutSelfTests,
    programs: brief ? programs.filter((each) => each !== "memtester") : programs,
    questions: [
      cpus,
      numa,
      tuned,
      clock,
      cross(1000),
      stressNg(seconds.ng),
      stressAppTest(seconds.copies),
      ...(brief ? [] : [memTester(2, 60)]),
      dmesg,
    ],
    reboots: brief ? 1 : 3,
  };
}

/** Ten minutes on the machine of another scenario. */
function stressed(of: string, where: string, nodeCpus: readonly number[], kernel?: string) {
  const scenario = stress(`${of}-stress`, where, nodeCpus, "long");
  return kernel === undefined ? scenario : { ...scenario, kernel };
}

export const stressful: readonly Scenario[] = [
  stress("single2-brief", "on one host, 2 vCPUs", [2], "brief"),
  stress("pair-brief", "over two hosts, 1 vCPU each", [1, 1], "brief"),
  stressed("single2", "on one host, 2 vCPUs", [2]),
  stressed("pair", "over two hosts, 1 vCPU each", [1, 1]),
  stressed("pair22", "over two hosts, 2 vCPUs each", [2, 2]),
  stressed("pair21", "over two hosts, 2 vCPUs and 1", [2, 1]),
  stressed("trio", "over three hosts, 1 vCPU each", [1, 1, 1]),
  stressed("single-6.1", "cloud-6.1 on one host, 2 vCPUs", [2], "cloud-6.1"),
  stressed("single-generic", "generic-6.12 on one host, 2 vCPUs", [2], "generic-6.12"),
  stressed("pair-6.1", "cloud-6.1 over two hosts, 1 vCPU each", [1, 1], "cloud-6.1"),
  stressed("pair-generic", "generic-6.12 over two hosts, 1 vCPU each", [1, 1], "generic-6.12"),
];
