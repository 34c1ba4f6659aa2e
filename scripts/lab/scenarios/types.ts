/** @module What a scenario of the lab is, as data. */

/** One giantvm node: what it gives to the virtual machine. */
export type Node = { readonly cpus: number; readonly memory: string };

export type Question = {
  /** Typed at the guest's shell, or at a host's. */
  readonly command: string;
  /** Asked of this host, where GIANTVM_CONTROL names its node. */
  readonly host?: number;
  /** What the answer must look like, on lines of its own. */
  readonly answer: RegExp;
  /** Says for people what that showed. */
  readonly meaning: string;
  /** Asked once more after each reboot. */
  readonly again?: boolean;
  /** The answer is what it is asked for: shown, not only judged. */
  readonly shown?: true;
  /** The answer repeats what the kernel said before: complaints in it are judged as the answer. */
  readonly quotes?: true;
  /** Limit of this answer where it is not the scenario's. */
  readonly seconds?: number;
};

/** A question that depends on the machine; undefined where the machine is too small for it. */
export type Asked = Question | ((nodes: readonly Node[]) => Question | undefined);

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

/** A kernel without a shell: it is looked at, and ended from the console when all has been seen. */
export type Watched = {
  readonly commandLine: string;
  /** What the console shows on a machine of so many vCPUs, one behind the other. */
  readonly shows: (cpus: number) => readonly Shown[];
};

export type Shown = {
  readonly pattern: RegExp;
  /** Says for people what that showed, and what did not come. */
  readonly meaning: string;
};

/** Programs that the Linux guest has beside busybox (programs.ts). */
export type GuestProgram = "cross" | "stress-ng" | "stressapptest" | "memtester";

export type Scenario = {
  readonly name: string;
  readonly title: string;
  /** Debian's kernel, which is asked questions, or the built-in guest, which passes or fails. */
  readonly guest: "linux" | "builtin" | "watched" | NativeThreads;
  /** Where the guest is one. */
  readonly watched?: Watched;
  readonly network: BadNetwork | undefined;
  /** One emulated host and one giantvm node each; native threads have their own size. */
  readonly nodes: readonly Node[];
  /** CPUs of each emulated host; 1 when left out: with more the emulation itself fails at times. */
  readonly hostCpus?: number;
  /** The guest's: a name of kernels.ts, or a file; cloud-6.12 when left out. */
  readonly kernel?: string;
  /** The hosts', one of hostKernelNames; cloud-6.12 when left out. */
  readonly hostKernel?: string;
  /** The Linux guest has the ext4 disk of disk.ts, whose file the first host has. */
  readonly disk?: boolean;
  /** Of each node, for pages of the others; what its host has left when left out. */
  readonly cacheMemory?: string;
  /** None when left out. */
  readonly programs?: readonly GuestProgram[];
  /** After the defaults of src/machine/images.ts; undefined for exactly those. */
  readonly append: string | undefined;
  readonly questions: readonly Asked[];
  /** How often the Linux guest starts anew once it has answered; not at all when left out. */
  readonly reboots?: number;
  /** Limits of the watchdog outside: for the boot (threads, each thing shown), each answer. */
  readonly bootSeconds: number;
  readonly answerSeconds: number;
  /** All limits are so many times longer, for a machine that is busy otherwise; 1 when left out. */
  readonly patience?: number;
  /** Whether stalls and lockups in the guest's log are a failure; true when left out. */
  readonly lateCounts?: boolean;
};

export const hostMemoryMb = 2200;

/** What this scenario's guest is asked, in this order. */
export function questionsOf({ questions, nodes }: Scenario): readonly Question[] {
  return questions.flatMap((asked) => {
    const question = typeof asked === "function" ? asked(nodes) : asked;
    return question === undefined ? [] : [question];
  });
}

export function cpusOf(nodes: readonly Node[]): number {
  return nodes.reduce((sum, node) => sum + node.cpus, 0);
}

/** A CPU as taskset takes it: one bit, hexadecimal. */
export function maskOf(cpu: number): string {
  return (1n << BigInt(cpu)).toString(16);
}
