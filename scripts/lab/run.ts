/**
 * @module One attempt at a scenario, from the hosts' start to their end.
 *
 * Long because it is read from its start to its end.
 */

import { rmSync } from "node:fs";
import { join } from "node:path";
import { hostCommand } from "./commands.ts";
import { complaintOf } from "./complaints.ts";
import { Host } from "./host.ts";
import { isHostsKernel } from "./kernels.ts";
import type { Packages } from "./packages.ts";
import { isUp, narrated, pulseLine } from "./pulse.ts";
import {
  cpusOf,
  hostMemoryMb,
  type NativeThreads,
  type Question,
  questionsOf,
  type Scenario,
} from "./scenarios.ts";
import { scratchFolder } from "./scratch.ts";
import { playThreads, type ThreadsFound, threadsLine } from "./threads.ts";
import { excerpt } from "./transcript.ts";
import { askWhere } from "./where.ts";

/** Somebody at the guest's console, instead of questions. */
export type Session = {
  /** The guest is up: what is typed goes to `type`. */
  readonly attach: (type: (bytes: Uint8Array | string) => void) => void;
  /** What the console prints from then on. */
  readonly output: (bytes: Uint8Array) => void;
};

export type Progress = {
  /** One line for people. */
  readonly say: (line: string) => void;
  /** How often to say how far the guest is while nothing else happens (5 s). */
  readonly everyMs?: number;
  /** Console of the guest as it comes. */
  readonly console: (text: string) => void;
  /** Log of a host as it comes. */
  readonly log: (node: number, text: string) => void;
  readonly session?: Session;
};

export type Answer = {
  readonly question: Question;
  readonly text: string;
  readonly ok: boolean;
  readonly seconds: number;
};

export type Lab = {
  readonly packages: (scenario: Scenario) => Packages;
  readonly tscKhz: number;
  /** Writes the hosts' file system for a scenario to `path`. */
  readonly archive: (scenario: Scenario, path: string) => void;
};

/** A host died, or never came up: says nothing about the project. */
export class HostDied extends Error {}
/** The scenario failed. */
export class Failed extends Error {}

/** A few seconds on an idle machine; a host that hangs is all this is for. */
const hostUpSeconds = 180;
const powerOffSeconds = 60;
const mtu = 9000;
const pulseMs = 5000;
/** For the nodes to say where their vCPUs are, when the guest is given up. */
const whereSeconds = 60;
/** Ctrl-A x: ends the VM on all nodes. */
const endKey = "\x01x";

/** The most an attempt may take: all its watchdogs, one after the other. */
export function attemptSeconds(scenario: Scenario): number {
  const { bootSeconds, answerSeconds, reboots = 0, patience = 1 } = scenario;
  const sum = (questions: readonly Question[]) =>
    questions.reduce((all, { seconds = answerSeconds }) => all + answerSeconds + seconds, 0);
  const questions = questionsOf(scenario);
  const again = bootSeconds + answerSeconds + sum(questions.filter((each) => each.again));
  // Native threads are asked for their time and awaited, five times in all.
  const fixed = hostUpSeconds + powerOffSeconds + whereSeconds + 5 * answerSeconds;
  const looks = scenario.watched?.shows(cpusOf(scenario.nodes)).length ?? 1;
  return patience * (fixed + looks * bootSeconds + sum(questions) + reboots * again);
}

/** @returns "over" when the time is; leaves no timer, which this process would wait for. */
async function limited<T>(seconds: number, wanted: Promise<T>): Promise<T | "over"> {
  const { promise: over, resolve } = Promise.withResolvers<"over">();
  const timer = setTimeout(() => resolve("over"), seconds * 1000);
  try {
    return await Promise.race([wanted, over]);
  } finally {
    clearTimeout(timer);
  }
}

export class Run {
  hostSeconds = 0;
  bootSeconds = 0;
  threads: ThreadsFound | undefined;
  /** What the vCPUs of a guest that was given up were doing. */
  where = "";
  readonly rebootSeconds: number[] = [];
  readonly answers: Answer[] = [];
  readonly hosts: readonly Host[];
  readonly #scenario: Scenario;
  readonly #progress: Progress;
  /** Where the console's text of the last answer ended. */
  #answered = 0;
  /** Answers that quote the kernel: from and to in the text of the first console. */
  readonly #quoted: (readonly [number, number])[] = [];
  #attached = false;
  readonly #folder: string;
  readonly #started = performance.now();
  readonly #cleanUp = () => rmSync(this.#folder, { recursive: true, force: true });

  constructor(lab: Lab, scenario: Scenario, progress: Progress) {
    this.#scenario = scenario;
    this.#progress = progress;
    this.#folder = scratchFolder();
    process.on("exit", this.#cleanUp);
    try {
      this.hosts = this.#startHosts(lab);
    } catch (error) {
      // A kernel that cannot be had.
      this.#end();
      throw error;
    }
  }

  #startHosts({ packages, tscKhz, archive }: Lab): readonly Host[] {
    const scenario = this.#scenario;
    const { console, log, session } = this.#progress;
    const path = join(this.#folder, "host.cpio");
    archive(scenario, path);
    return scenario.nodes.map(
      (_, node) =>
        new Host({
          packages: packages(scenario),
          tscKhz,
          archive: path,
          folder: this.#folder,
          node,
          nodes: scenario.nodes.length,
          cpus: scenario.hostCpus ?? 1,
          memoryMb: hostMemoryMb,
          mtu,
          badNetwork: scenario.network,
          command: hostCommand(scenario, node),
          onLog: (text) => log(node, text),
          onConsole: (text) => node === 0 && console(text),
          onBytes: (bytes) => node === 0 && this.#attached && session?.output(bytes),
        }),
    );
  }

  async play(): Promise<void> {
    const { say } = this.#progress;
    await this.#within(hostUpSeconds, "the hosts did not come up", this.#hostsUp());
    this.hostSeconds = this.#seconds();
    say(`${this.hosts.length} emulated host(s) up, /dev/kvm in each (${this.#elapsed()})`);
    const { guest } = this.#scenario;
    if (guest === "linux") await this.#linux();
    else if (guest === "builtin") await this.#builtin();
    else if (guest === "watched") await this.#watch();
    else await this.#native(guest);
    const codes = await this.#within(
      powerOffSeconds,
      "the guest did not power off",
      this.#results(),
      true,
    );
    const bad = codes.findIndex((code) => code !== 0);
    if (bad >= 0) {
      throw new Failed(`${this.#program} on host ${bad} ended with exit code ${codes[bad]}`);
    }
    // What somebody typed or ran there is theirs.
    const text = this.#spoken();
    const { lateCounts = true } = this.#scenario;
    const complaint = this.#attached ? undefined : complaintOf(text, lateCounts);
    if (complaint !== undefined) throw new Failed(`the guest's console says: ${complaint}`);
    const late = lateCounts ? undefined : complaintOf(text);
    if (late !== undefined) say(`LATE, and let pass here: the guest's console says: ${late}`);
    say(`powered off on every node (${this.#elapsed()})`);
  }

  /** Boots, asks, reboots, powers off. */
  async #linux(): Promise<void> {
    this.bootSeconds = await this.#guestUp("the guest did not boot", 0);
    if (this.#progress.session !== undefined) return this.#hand(this.#progress.session);
    const questions = questionsOf(this.#scenario);
    for (const question of questions) await this.#ask(question);
    const { reboots = 0 } = this.#scenario;
    for (let reboot = 1; reboot <= reboots; reboot += 1) {
      await this.#prompt();
      const from = this.#first().console.text.length;
      this.#first().type("reboot -f\n");
      const failure = `the guest did not come back after reboot ${reboot} of ${reboots}`;
      this.rebootSeconds.push(await this.#guestUp(failure, from));
      for (const question of questions.filter((each) => each.again)) await this.#ask(question);
    }
    await this.#prompt();
    this.#first().type("poweroff -f\n");
  }

  /** @returns the seconds it took until a shell was there, on the console's text behind `from`. */
  async #guestUp(failure: string, from: number): Promise<number> {
    const started = performance.now();
    const { console } = this.#first();
    const wanted = console.wait(/^GUEST-UP (.*)\n/m, from);
    const up = await this.#within(this.#scenario.bootSeconds, failure, wanted);
    this.#answered = from + (up.index ?? 0) + up[0].length;
    this.#progress.say(`guest is up: ${up[1] ?? ""} (${this.#elapsed()})`);
    return (performance.now() - started) / 1000;
  }

  /** Somebody types from now on, until the VM ends. */
  async #hand(session: Session): Promise<void> {
    // What is typed before a shell is there may be lost.
    await this.#prompt();
    this.#attached = true;
    session.attach((bytes) => this.#first().type(bytes));
    await Promise.race(this.hosts.map((host) => host.result()));
    const died = this.#died();
    // Another attempt would not bring back what somebody did there.
    if (died) throw new Failed(died);
  }

  /** The built-in guest powers itself off. */
  async #builtin(): Promise<void> {
    const { console } = this.#first();
    const verdict = console.wait(/^verdict (pass|fail)\n/m);
    const found = await this.#within(this.#scenario.bootSeconds, "there was no verdict", verdict);
    const failed = console.text.match(/^check \S+ fail .*$/m)?.[0];
    if (found[1] !== "pass") {
      // Its counters come with its end.
      await limited(powerOffSeconds, this.#results());
      throw new Failed(`the guest did not pass: ${failed ?? ""}`);
    }
    this.#progress.say(`the built-in guest passed (${this.#elapsed()})`);
  }

  /** A guest that answers nobody. */
  async #watch(): Promise<void> {
    const { watched, nodes, bootSeconds } = this.#scenario;
    const started = performance.now();
    const { console } = this.#first();
    let from = 0;
    for (const { pattern, meaning } of watched?.shows(cpusOf(nodes)) ?? []) {
      const failure = `the console does not show that ${meaning}`;
      const seen = await this.#within(bootSeconds, failure, console.wait(pattern, from));
      from += (seen.index ?? 0) + seen[0].length;
      this.#progress.say(`the console shows that ${meaning} (${this.#elapsed()})`);
    }
    this.bootSeconds = (performance.now() - started) / 1000;
    this.#first().type(endKey);
  }

  /** Native threads instead of a guest. */
  async #native(options: NativeThreads): Promise<void> {
    const found = await playThreads(this.hosts, this.#scenario, options, this.#within.bind(this));
    this.threads = found;
    const [problem] = found.problems;
    if (problem !== undefined) throw new Failed(`the threads' history is wrong: ${problem}`);
    this.#progress.say(
      `what the threads saw has one order; ${found.handovers} handovers, clocks known within ` +
        `${(found.uncertaintyNs / 1e6).toFixed(2)} ms (${this.#elapsed()})`,
    );
  }

  /** A guest that is given up: where all its vCPUs are, by function of its kernel. */
  async askWhere(): Promise<void> {
    const [first] = this.hosts;
    if (!first || !/the VM runs/.test(first.log.text) || /^LAB-EXIT /m.test(first.log.text)) return;
    const { guest, kernel, hostKernel, patience = 1 } = this.#scenario;
    const symbols = guest === "linux" && isHostsKernel(kernel, hostKernel);
    const asked = askWhere(first.shell, symbols, (text) => (this.where += text));
    await limited(whereSeconds * patience, asked);
  }

  async close(): Promise<void> {
    await Promise.all(this.hosts.map((host) => host.stop()));
    this.#end();
  }

  #end(): void {
    process.off("exit", this.#cleanUp);
    this.#cleanUp();
  }

  #results(): Promise<readonly (number | undefined)[]> {
    return Promise.all(this.hosts.map((host) => host.result()));
  }

  async #hostsUp(): Promise<true | undefined> {
    const up = await Promise.all(this.hosts.map((host) => host.log.wait(/^LAB-UP .*\n/m)));
    return up.includes(undefined) ? undefined : true;
  }

  /** It comes in pieces: what is left of it would be taken for the beginning of an answer. */
  async #prompt(): Promise<void> {
    const shown = this.#first().console.wait(/guest# /, this.#answered);
    const { answerSeconds } = this.#scenario;
    await this.#within(answerSeconds, "the guest's shell shows no prompt", shown);
  }

  async #ask(question: Question): Promise<void> {
    const started = performance.now();
    const { host } = question;
    const text = await (host === undefined ? this.#askGuest(question) : this.#askHost(question));
    const seconds = (performance.now() - started) / 1000;
    const ok = question.answer.test(text);
    this.answers.push({ question, text, ok, seconds });
    if (!ok) {
      const who = host === undefined ? "the guest" : `host ${host}`;
      throw new Failed(`${who} answered "${excerpt(text)}" to "${question.command}"`);
    }
    const answer = question.shown && text !== "" ? `:\n${text}` : "";
    this.#progress.say(`${question.meaning} (${seconds.toFixed(1)} s)${answer}`);
  }

  /** The first console without what is judged as an answer. */
  #spoken(): string {
    const { text } = this.#first().console;
    const starts = [0, ...this.#quoted.map(([, to]) => to)];
    return starts.map((from, i) => text.slice(from, this.#quoted[i]?.[0])).join("");
  }

  async #askGuest({ command, seconds, quotes }: Question): Promise<string> {
    await this.#prompt();
    const { console } = this.#first();
    const from = console.text.length;
    this.#first().type(`${command}; echo "END"-"$?"\n`);
    const end = await this.#within(
      seconds ?? this.#scenario.answerSeconds,
      `the guest did not answer "${command}"`,
      console.wait(/([^]*?)END-(\d+)\n/, from),
    );
    this.#answered = from + (end.index ?? 0) + end[0].length;
    if (quotes === true) this.#quoted.push([from, this.#answered]);
    return (end[1] ?? "").trim();
  }

  async #askHost({ command, seconds, host = 0 }: Question): Promise<string> {
    const limit = seconds ?? this.#scenario.answerSeconds;
    const answer = this.hosts[host]?.shell.ask(command) ?? Promise.resolve(undefined);
    return (await this.#within(limit, `host ${host} did not answer "${command}"`, answer)).trim();
  }

  /**
   * Awaits what a host should print, or learns that it will not come: the time is over, a host is
   * gone, or giantvm ended (which is what is wanted only at the very end).
   */
  async #within<T>(usual: number, failure: string, wanted: Promise<T>, last = false) {
    const seconds = usual * (this.#scenario.patience ?? 1);
    const ended = Promise.race(this.hosts.map((host) => host.result())).then(
      () => "ended" as const,
    );
    const { say, everyMs = pulseMs } = this.#progress;
    const tell = (line: string) => say(`${this.#elapsed()}: ${line}`);
    const first = limited(seconds, Promise.race(last ? [wanted] : [wanted, ended]));
    const line = typeof this.#scenario.guest === "object" ? threadsLine : pulseLine;
    const found = await narrated(this.hosts, everyMs, tell, first, line);
    const died = this.#died();
    if (died && !this.#attached) throw new HostDied(died);
    const late = `within ${seconds} s`;
    // Where a host is not up giantvm has not begun.
    const mute = this.hosts.findIndex((host) => !isUp(host.log.text));
    if (found === "over" && mute >= 0) throw new HostDied(`host ${mute} did not come up ${late}`);
    if (found === "over") throw this.#failed(`${failure} ${late}`);
    if (found === "ended" || found === undefined) {
      throw this.#failed(`${failure}: ${this.#program} ended before${this.#exitCodes()}`);
    }
    return found as Exclude<NonNullable<T>, "over" | "ended">;
  }

  /** With what the guest said about itself. */
  #failed(reason: string): Failed {
    const complaint = complaintOf(this.#spoken());
    return new Failed(
      complaint === undefined ? reason : `${reason}; its console says: ${complaint}`,
    );
  }

  get #program(): string {
    return typeof this.#scenario.guest === "object" ? "engine_node" : "giantvm";
  }

  #exitCodes(): string {
    const codes = this.hosts.map((host) => host.log.text.match(/^LAB-EXIT (\d+)$/m)?.[1] ?? "none");
    return ` (exit codes ${codes.join(", ")})`;
  }

  #died(): string | undefined {
    for (const [node, host] of this.hosts.entries()) {
      const fault = host.fault();
      if (fault) return `host ${node} died: ${fault}`;
    }
    return undefined;
  }

  #first(): Host {
    const [first] = this.hosts;
    if (first === undefined) throw new RangeError("a scenario without a host");
    return first;
  }

  #seconds(): number {
    return (performance.now() - this.#started) / 1000;
  }

  #elapsed(): string {
    return `${this.#seconds().toFixed(1)} s`;
  }
}
