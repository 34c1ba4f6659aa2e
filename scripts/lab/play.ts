/**
 * @module Plays a scenario: hosts up, giantvm on each, the guest's boot, questions and answers,
 * power-off. A host that died by itself (the emulation's fault, not ours) is told apart from a VM
 * that failed, and the whole scenario is tried once more; how often that happened is part of the
 * result.
 *
 * Long because one attempt is read from its start to its end.
 */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { diskPath, withDiskCheck } from "./disk.ts";
import { Host, hostAddress } from "./host.ts";
import type { Packages } from "./packages.ts";
import { narrated, pulseLine } from "./pulse.ts";
import { hostMemoryMb, type NativeThreads, type Question, type Scenario } from "./scenarios.ts";
import {
  playThreads,
  threadsCommand,
  threadsCounters,
  type ThreadsFound,
  threadsLine,
} from "./threads.ts";

export type Progress = {
  /** One line for people. */
  readonly say: (line: string) => void;
  /** How often to say how far the guest is while nothing else happens (5 s). */
  readonly everyMs?: number;
  /** Console of the guest as it comes. */
  readonly console: (text: string) => void;
  /** Log of a host as it comes. */
  readonly log: (node: number, text: string) => void;
};

export type Answer = {
  readonly question: Question;
  readonly text: string;
  readonly ok: boolean;
  readonly seconds: number;
};

export type Outcome = {
  readonly scenario: string;
  readonly ok: boolean;
  /** Why not, one sentence; "" when ok. */
  readonly reason: string;
  readonly hostSeconds: number;
  readonly bootSeconds: number;
  readonly answers: readonly Answer[];
  /** Hosts that died by themselves before this attempt. */
  readonly hostsDied: number;
  /** What native threads saw; undefined where there are none, or they did not get through. */
  readonly threads: ThreadsFound | undefined;
  /** The counters giantvm (or the threads' engine) printed at its end, by node. */
  readonly counters: readonly Readonly<Record<string, number>>[];
  readonly logs: readonly string[];
  readonly console: string;
};

export type Lab = {
  readonly packages: Packages;
  readonly archive: string;
  readonly tscKhz: number;
};

/** A host died: says nothing about the project. */
class HostDied extends Error {}
/** The scenario failed. */
class Failed extends Error {}

/** A few seconds on an idle machine; a host that hangs is all this is for. */
const hostUpSeconds = 180;
const powerOffSeconds = 60;
/** What an attempt may take beside the scenario's own limits. */
export const overheadSeconds = hostUpSeconds + powerOffSeconds;
const mtu = 9000;
const pulseMs = 5000;
/** An emulated host on a busy machine stalls for long. */
const silenceMs = 30_000;

function shellQuoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

/** What runs on host `node`: giantvm as an administrator would start it, or the threads. */
export function hostCommand(scenario: Scenario, node: number): string {
  const share = scenario.nodes[node];
  if (share === undefined) throw new RangeError(`${scenario.name} has no node ${node}`);
  const { guest } = scenario;
  if (typeof guest === "object") return threadsCommand(scenario, guest, node, silenceMs);
  const words = [
    `giantvm run -v --local-cpu ${share.cpus} --local-memory ${share.memory}`,
    guest === "linux"
      ? "--kernel /images/vmlinuz --initrd /images/guest.cpio"
      : // Short checks: a fault costs ten times what it does on a real host.
        "--scale 5",
    `--silence ${silenceMs} --report /tmp/report`,
  ];
  if (scenario.disk === true) words.push(`--disk path=${diskPath}`);
  if (scenario.append !== undefined) words.push(`--append ${shellQuoted(scenario.append)}`);
  if (scenario.nodes.length > 1) {
    const peers = scenario.nodes.map((_, index) => hostAddress(index)).join(",");
    words.push(`--peers ${peers} --self ${hostAddress(node)}`);
  }
  const command = words.join(" ");
  return scenario.disk === true && node === 0 ? withDiskCheck(command) : command;
}

/** Counters of `run --report`, which the host prints at its end, or of the threads' engine. */
function readCounters({ log, console }: Host): Readonly<Record<string, number>> {
  const line = log.text.match(/^LAB-REPORT (\{.*\})$/m)?.[1];
  if (line === undefined) return threadsCounters(console.text);
  try {
    return (JSON.parse(line) as { counters?: Record<string, number> }).counters ?? {};
  } catch {
    return {};
  }
}

class Run {
  hostSeconds = 0;
  bootSeconds = 0;
  threads: ThreadsFound | undefined;
  readonly answers: Answer[] = [];
  readonly hosts: readonly Host[];
  readonly #scenario: Scenario;
  readonly #progress: Progress;
  /** Where the console's text of the last answer ended. */
  #answered = 0;
  readonly #folder: string;
  readonly #started = performance.now();
  readonly #cleanUp = () => rmSync(this.#folder, { recursive: true, force: true });

  constructor(lab: Lab, scenario: Scenario, progress: Progress) {
    this.#scenario = scenario;
    this.#progress = progress;
    this.#folder = mkdtempSync(join(tmpdir(), "gvm-"));
    process.on("exit", this.#cleanUp);
    this.hosts = scenario.nodes.map(
      (_, node) =>
        new Host({
          ...lab,
          folder: this.#folder,
          node,
          nodes: scenario.nodes.length,
          memoryMb: hostMemoryMb,
          mtu,
          badNetwork: scenario.network,
          command: hostCommand(scenario, node),
          onLog: (text) => progress.log(node, text),
          onConsole: (text) => node === 0 && progress.console(text),
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
    say(`powered off on every node (${this.#elapsed()})`);
  }

  /** Boots, asks, powers off. */
  async #linux(): Promise<void> {
    const first = this.#first();
    const up = await this.#within(
      this.#scenario.bootSeconds,
      "the guest did not boot",
      first.console.wait(/^GUEST-UP (.*)\n/m),
    );
    this.bootSeconds = this.#seconds() - this.hostSeconds;
    this.#progress.say(`guest is up: ${up[1] ?? ""} (${this.#elapsed()})`);
    for (const question of this.#scenario.questions) await this.#ask(question);
    first.type("poweroff -f\n");
  }

  /** The built-in guest powers itself off. */
  async #builtin(): Promise<void> {
    const { console } = this.#first();
    const verdict = console.wait(/^verdict (pass|fail)\n/m);
    const found = await this.#within(this.#scenario.bootSeconds, "there was no verdict", verdict);
    const failed = console.text.match(/^check \S+ fail .*$/m)?.[0];
    if (found[1] !== "pass") {
      // Its counters come with its end.
      await Promise.race([this.#results(), Bun.sleep(powerOffSeconds * 1000)]);
      throw new Failed(`the guest did not pass: ${failed ?? ""}`);
    }
    this.#progress.say(`the built-in guest passed (${this.#elapsed()})`);
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

  async close(): Promise<void> {
    await Promise.all(this.hosts.map((host) => host.stop()));
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

  async #ask(question: Question): Promise<void> {
    const { console } = this.#first();
    // It comes in pieces: what is left of it would be taken for the beginning of the answer.
    await this.#within(
      this.#scenario.answerSeconds,
      "the guest's shell shows no prompt",
      console.wait(/guest# /, this.#answered),
    );
    const from = console.text.length;
    const started = performance.now();
    this.#first().type(`${question.command}; echo "END"-"$?"\n`);
    const end = await this.#within(
      this.#scenario.answerSeconds,
      `the guest did not answer "${question.command}"`,
      console.wait(/([^]*?)END-(\d+)\n/, from),
    );
    this.#answered = from + (end.index ?? 0) + end[0].length;
    const text = (end[1] ?? "").trim();
    const seconds = (performance.now() - started) / 1000;
    const ok = question.answer.test(text);
    this.answers.push({ question, text, ok, seconds });
    if (!ok) throw new Failed(`the guest answered "${text}" to "${question.command}"`);
    this.#progress.say(`${question.meaning} (${seconds.toFixed(1)} s)`);
  }

  /**
   * Awaits what a host should print, or learns that it will not come: the time is over, a host is
   * gone, or giantvm ended (which is what is wanted only at the very end).
   */
  async #within<T>(seconds: number, failure: string, wanted: Promise<T>, last = false) {
    const { promise: over, resolve } = Promise.withResolvers<"over">();
    const timer = setTimeout(() => resolve("over"), seconds * 1000);
    const ended = Promise.race(this.hosts.map((host) => host.result())).then(
      () => "ended" as const,
    );
    const { say, everyMs = pulseMs } = this.#progress;
    const tell = (line: string) => say(`${this.#elapsed()}: ${line}`);
    const first = Promise.race(last ? [wanted, over] : [wanted, over, ended]);
    const line = typeof this.#scenario.guest === "object" ? threadsLine : pulseLine;
    const found = await narrated(this.#first(), everyMs, tell, first, line);
    clearTimeout(timer);
    const died = this.#died();
    if (died) throw new HostDied(died);
    if (found === "over") throw new Failed(`${failure} within ${seconds} s`);
    if (found === "ended" || found === undefined) {
      throw new Failed(`${failure}: ${this.#program} ended before${this.#exitCodes()}`);
    }
    return found as Exclude<NonNullable<T>, "over" | "ended">;
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

/** One attempt; `died` when it says nothing because a host failed under it. */
async function attempt(
  lab: Lab,
  scenario: Scenario,
  progress: Progress,
  hostsDied: number,
): Promise<{ readonly outcome: Outcome; readonly died: boolean }> {
  const run = new Run(lab, scenario, progress);
  let reason = "";
  let died = false;
  try {
    await run.play();
  } catch (error) {
    if (!(error instanceof HostDied || error instanceof Failed)) throw error;
    reason = error.message;
    died = error instanceof HostDied;
  } finally {
    await run.close();
  }
  const outcome: Outcome = {
    scenario: scenario.name,
    ok: reason === "",
    reason,
    hostSeconds: run.hostSeconds,
    bootSeconds: run.bootSeconds,
    answers: run.answers,
    threads: run.threads,
    hostsDied,
    counters: run.hosts.map((host) => readCounters(host)),
    logs: run.hosts.map((host) => host.log.text),
    console: run.hosts[0]?.console.text ?? "",
  };
  return { outcome, died };
}

/** Plays once, and once more when a host died by itself. Leaves no process and no file. */
export async function play(lab: Lab, scenario: Scenario, progress: Progress): Promise<Outcome> {
  const first = await attempt(lab, scenario, progress, 0);
  if (!first.died) return first.outcome;
  progress.say(`${first.outcome.reason}; once more`);
  return (await attempt(lab, scenario, progress, 1)).outcome;
}
