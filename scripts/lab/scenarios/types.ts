/** @module What a scenario of the lab is, as data. */

/** One giantvm node: what it gives to the virtual machine. */
export type Node = { readonly cpus: number; readonly memory: string };

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
  readonly nodes: readonly Node[];
  /** The Linux guest has the ext4 disk of disk.ts, whose file the first host has. */
  readonly disk?: boolean;
  /** After the defaults of src/machine/images.ts; undefined for exactly those. */
  readonly append: string | undefined;
  readonly questions: readonly Question[];
  /** Limits of the watchdog outside: for the boot (or the threads), and for each answer. */
  readonly bootSeconds: number;
  readonly answerSeconds: number;
};

export const hostMemoryMb = 2200;
