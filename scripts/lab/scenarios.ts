/** @module What the lab can show, as data: which hosts and nodes, and what the guest is asked. */

export type Question = {
  /** Typed at the guest's shell. */
  readonly command: string;
  /** What the answer must look like, on lines of its own. */
  readonly answer: RegExp;
  /** Says for people what that showed. */
  readonly meaning: string;
};

/** What each host does to the packets it sends. */
export type BadNetwork = {
  /** Parameters of tc's netem. */
  readonly netem: string;
  /** Every few seconds nothing leaves for so long. */
  readonly cutMs: number;
};

/** No guest: a process on each host, whose native threads share counters (tests/dsm). */
export type NativeThreads = {
  readonly seed: number;
  readonly operationsPerThread: number;
  readonly pauseUs: number;
  /** A rule to switch off (native/zig/dsm/guards.zig): something must then be found. */
  readonly guardOff?: string;
};

export type Scenario = {
  readonly name: string;
  readonly title: string;
  /** Debian's kernel, which is asked questions, or the built-in guest, which passes or fails. */
  readonly guest: "linux" | "builtin" | NativeThreads;
  readonly network: BadNetwork | undefined;
  /** One emulated host and one giantvm node each; native threads have their own size. */
  readonly nodes: readonly { readonly cpus: number; readonly memory: string }[];
  /** After the defaults of src/machine/images.ts; undefined for exactly those. */
  readonly append: string | undefined;
  readonly questions: readonly Question[];
  /** Limits of the watchdog outside: for the boot (or the threads), and for each answer. */
  readonly bootSeconds: number;
  readonly answerSeconds: number;
};

export const hostMemoryMb = 2200;

function cpus(count: number): Question {
  return {
    command: "nproc",
    answer: new RegExp(`^${count}$`, "m"),
    meaning: `the guest sees ${count} CPU${count > 1 ? "s" : ""}`,
  };
}

/** A shell that counts on one CPU and says so. */
function busyOn(cpu: number): string {
  return (
    `taskset ${(1 << cpu).toString(16)} sh -c 'i=0;while [ $i -lt 2000 ];do i=$((i+1));done;` +
    `echo done $i on ${cpu}' &`
  );
}

/** Work on every CPU at once. */
function busy(count: number): Question {
  const each = Array.from({ length: count }, (_, cpu) => busyOn(cpu)).join(" ");
  return {
    command: `{ ${each} wait; } | sort | tr '\\n' ' '; echo`,
    answer: new RegExp(Array.from({ length: count }, (_, cpu) => `done 2000 on ${cpu}`).join(".*")),
    meaning: "every CPU runs a program",
  };
}

const clock: Question = {
  command: "cat /sys/devices/system/clocksource/clocksource0/current_clocksource",
  answer: /^tsc(-early)?$/,
  meaning: "the guest trusts its TSCs",
};

const bridge: Question = {
  command: "cat /sys/bus/pci/devices/0000:00:00.0/vendor; dmesg | grep -c 'PCI: Fatal'",
  answer: /^0x8086\s+0$/,
  meaning: "the guest has found the PCI host bridge",
};

function scenario(name: string, title: string, nodeCpus: readonly number[]): Scenario {
  const total = nodeCpus.reduce((sum, count) => sum + count, 0);
  return {
    name,
    title,
    guest: "linux",
    network: undefined,
    nodes: nodeCpus.map((count) => ({
      cpus: count,
      memory: `${Math.max(128, 256 / nodeCpus.length)}M`,
    })),
    append: undefined,
    questions: [cpus(total), busy(total), clock, bridge],
    bootSeconds: nodeCpus.length === 1 ? 120 : 480,
    answerSeconds: nodeCpus.length === 1 ? 60 : 180,
  };
}

const badNetwork: BadNetwork = {
  netem: "delay 2ms 1ms loss 5% duplicate 5% reorder 5% rate 100mbit limit 1000",
  cutMs: 200,
};

const netem: Scenario = {
  name: "netem",
  title: "the built-in guest over two hosts that lose, double and reorder 5 % each",
  guest: "builtin",
  network: badNetwork,
  nodes: [
    { cpus: 1, memory: "64M" },
    { cpus: 1, memory: "64M" },
  ],
  append: undefined,
  questions: [],
  bootSeconds: 400,
  answerSeconds: 0,
};

const netemThreads: Scenario = {
  ...netem,
  name: "netem-threads",
  title: "native threads on two hosts that lose, double and reorder 5 % each",
  guest: { seed: 1, operationsPerThread: 4000, pauseUs: 5000 },
  answerSeconds: 60,
};

const all = [
  netem,
  netemThreads,
  scenario("single1", "Debian's kernel on one host, 1 vCPU", [1]),
  scenario("single2", "Debian's kernel on one host, 2 vCPUs", [2]),
  scenario("pair", "Debian's kernel over two hosts, 1 vCPU each", [1, 1]),
  scenario("pair22", "Debian's kernel over two hosts, 2 vCPUs each", [2, 2]),
  scenario("trio", "Debian's kernel over three hosts, 1 vCPU each", [1, 1, 1]),
];

export const scenarios: ReadonlyMap<string, Scenario> = new Map(
  all.map((each) => [each.name, each]),
);
