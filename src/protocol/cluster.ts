/**
 * @module One node's view of the life of the VM, as a pure state machine: greet, agree, configure,
 * load, start together, run, end together. Events and the time go in, effects come out; the daemon
 * (src/node) and the simulator (src/sim) execute them.
 *
 * Barriers are symmetrical: a stage is over when every node's `ready` for it is in. A reset ends an
 * epoch like a power-off and greets again in the next one.
 *
 * Long because the phases of one life are one state machine.
 */

import { agree, type Agreement } from "./agreement.ts";
import { ClockProbe } from "./clock.ts";
import type { ControlMessage, End, EndCause, Hello } from "./messages.ts";
import type { CpuidEntry } from "../node/dataplane.ts";

const stages = { configured: 1, loaded: 2 } as const;
/** Before the start, and at most: the shortest of many says most on a busy machine. */
const probesLeast = 24;
const probesWanted = 400;
const probeGapNsU64 = 5_000_000n;
/** Time between agreeing on the start and the guest's TSC being 0: none, the past is fine. */
const endGraceNsU64 = 3_000_000_000n;
const msU64 = 1_000_000n;

export type Options = {
  readonly node: number;
  readonly names: readonly string[];
  readonly silenceMs: number;
  readonly joinMs: number;
  readonly cpuidOf: (hellos: readonly Hello[]) => readonly CpuidEntry[];
};

export type Event =
  | { readonly kind: "message"; readonly from: number; readonly message: ControlMessage }
  | { readonly kind: "heard"; readonly from: number }
  | { readonly kind: "tick" }
  | { readonly kind: "configured" }
  | { readonly kind: "loaded" }
  | { readonly kind: "stopped" }
  | {
      readonly kind: "end";
      readonly cause: EndCause;
      readonly code: number;
      readonly reason: string;
    }
  | { readonly kind: "lost"; readonly node: number; readonly how: string };

export type Effect =
  | { readonly kind: "send"; readonly to: number; readonly message: ControlMessage }
  | { readonly kind: "send-once"; readonly to: number; readonly message: ControlMessage }
  | {
      readonly kind: "configure";
      readonly agreement: Agreement;
      readonly hellos: readonly Hello[];
    }
  | { readonly kind: "load" }
  | { readonly kind: "run"; readonly tscZeroNsU64: bigint; readonly boundNs: bigint }
  | { readonly kind: "stop" }
  | { readonly kind: "console"; readonly bytes: Uint8Array }
  | { readonly kind: "input"; readonly bytes: Uint8Array }
  | { readonly kind: "restart"; readonly epoch: number }
  | {
      readonly kind: "finish";
      readonly code: number;
      readonly cause: EndCause;
      readonly reason: string;
    };

export type Phase = "greeting" | "configuring" | "loading" | "running" | "ending" | "over";

export class Cluster {
  phase: Phase = "greeting";
  readonly #options: Options;
  readonly #hellos: (Hello | undefined)[];
  readonly #heard: bigint[];
  readonly #ready: Set<number>[] = [new Set(), new Set(), new Set()];
  readonly #ended = new Set<number>();
  readonly #lost = new Set<number>();
  readonly #clock = new ClockProbe();
  readonly #epoch: number;
  readonly #startedNsU64: bigint;
  #aliveNsU64: bigint;
  #probeNsU64 = 0n;
  #end: End | undefined;
  #endNsU64 = 0n;
  #stopped = false;
  #start: bigint | undefined;
  #effects: Effect[] = [];

  constructor(options: Options, hello: Hello, nowNsU64: bigint) {
    this.#options = options;
    this.#epoch = hello.epoch;
    this.#hellos = options.names.map((_, index) => (index === options.node ? hello : undefined));
    this.#heard = options.names.map(() => nowNsU64);
    this.#startedNsU64 = nowNsU64;
    this.#aliveNsU64 = nowNsU64;
    this.#broadcast(hello);
    this.#maybeAgree();
  }

  /** Effects of the construction: the greeting. */
  begin(): readonly Effect[] {
    return this.#take();
  }

  step(event: Event, nowNsU64: bigint): readonly Effect[] {
    if (this.phase === "over") return [];
    switch (event.kind) {
      case "message":
        this.#heard[event.from] = nowNsU64;
        this.#message(event.from, event.message, nowNsU64);
        break;
      case "heard":
        this.#heard[event.from] = nowNsU64;
        break;
      case "tick":
        break;
      case "configured":
        this.#reached(stages.configured);
        break;
      case "loaded":
        this.#reached(stages.loaded);
        break;
      case "stopped":
        this.#stopped = true;
        if (this.#end !== undefined) {
          this.#ended.add(this.#options.node);
          this.#broadcast({ kind: "ended", epoch: this.#epoch });
        }
        break;
      case "end":
        this.#finish({ ...event, kind: "end", epoch: this.#epoch }, true, nowNsU64);
        break;
      case "lost":
        this.#loseNode(event.node, event.how, nowNsU64);
        break;
      default:
        event satisfies never;
    }
    this.#time(nowNsU64);
    return this.#take();
  }

  /** When step({kind: "tick"}) should run at the latest. */
  deadline(nowNsU64: bigint): bigint {
    const soon = this.phase === "greeting" || this.phase === "running" ? 50n : 10n;
    return nowNsU64 + soon * msU64;
  }

  get clockBoundNs(): bigint {
    return this.#options.node === 0 ? 0n : (this.#clock.best?.boundNs ?? 0n);
  }

  #others(): readonly number[] {
    return this.#options.names.flatMap((_, index) =>
      index === this.#options.node || this.#lost.has(index) ? [] : [index],
    );
  }

  #broadcast(message: ControlMessage): void {
    for (const to of this.#others()) this.#effects.push({ kind: "send", to, message });
  }

  #take(): readonly Effect[] {
    return this.#effects.splice(0);
  }

  #message(from: number, message: ControlMessage, nowNsU64: bigint): void {
    switch (message.kind) {
      case "hello":
        if (message.epoch !== this.#epoch || this.phase !== "greeting") return;
        this.#hellos[from] = message;
        this.#maybeAgree();
        return;
      case "ready":
        if (message.epoch === this.#epoch) this.#isReady(from, message.stage);
        return;
      case "start":
        if (message.epoch !== this.#epoch || from !== 0) return;
        this.#start = message.tscZeroNsU64;
        return;
      case "ping":
        this.#effects.push({
          kind: "send-once",
          to: from,
          message: { kind: "pong", sentNsU64: message.sentNsU64, answeredNsU64: nowNsU64 },
        });
        return;
      case "pong":
        if (from === 0) this.#clock.add(message.sentNsU64, message.answeredNsU64, nowNsU64);
        return;
      case "end":
        if (message.epoch === this.#epoch) this.#finish(message, false, nowNsU64);
        return;
      case "ended":
        if (message.epoch === this.#epoch) this.#ended.add(from);
        return;
      case "console":
        this.#effects.push({ kind: "console", bytes: message.bytes });
        return;
      case "input":
        this.#effects.push({ kind: "input", bytes: message.bytes });
        return;
      case "alive":
        return;
      default:
        message satisfies never;
    }
  }

  #maybeAgree(): void {
    const hellos = this.#hellos.filter((hello) => hello !== undefined);
    if (hellos.length !== this.#hellos.length || this.phase !== "greeting") return;
    const outcome = agree(hellos, this.#options.cpuidOf);
    if (!outcome.ok) {
      // Everyone computes the same, so everyone says the same sentence.
      this.phase = "over";
      this.#effects.push({ kind: "finish", code: 4, cause: "failed", reason: outcome.reason });
      return;
    }
    this.phase = "configuring";
    this.#effects.push({ kind: "configure", agreement: outcome.agreement, hellos });
  }

  #reached(stage: number): void {
    this.#broadcast({ kind: "ready", epoch: this.#epoch, stage });
    this.#isReady(this.#options.node, stage);
  }

  #isReady(node: number, stage: number): void {
    const ready = this.#ready[stage];
    if (ready === undefined || this.phase === "ending") return;
    ready.add(node);
    if (ready.size < this.#options.names.length) return;
    if (stage === stages.configured) {
      this.phase = "loading";
      this.#effects.push({ kind: "load" });
    }
  }

  /** Everything is loaded and the clocks are compared: node 0 says when the guest's time began. */
  #maybeStart(nowNsU64: bigint): void {
    const loaded = this.#ready[stages.loaded]?.size === this.#options.names.length;
    if (this.phase !== "loading" || !loaded) return;
    if (this.#options.node === 0) {
      this.#broadcast({ kind: "start", epoch: this.#epoch, tscZeroNsU64: nowNsU64 });
      this.#run(nowNsU64, 0n);
    } else if (this.#start !== undefined && this.#clock.samples >= probesLeast) {
      if (this.#clock.best === undefined) return;
      const { offsetNs, boundNs } = this.#clock.best;
      this.#run(this.#start - offsetNs, boundNs);
    }
  }

  #run(tscZeroNsU64: bigint, boundNs: bigint): void {
    this.phase = "running";
    this.#effects.push({ kind: "run", tscZeroNsU64, boundNs });
  }

  #loseNode(node: number, how: string, nowNsU64: bigint): void {
    if (this.#lost.has(node) || this.#ended.has(node)) return;
    const name = this.#options.names[node] ?? "?";
    // Told to the lost node as well: it may hear without being heard, and would run on.
    this.#finish(
      {
        kind: "end",
        epoch: this.#epoch,
        cause: "lost",
        code: 5,
        reason: `node ${node} (${name}) was lost: ${how}; its memory is gone, so the VM ends`,
      },
      true,
      nowNsU64,
    );
    this.#lost.add(node);
  }

  #finish(end: End, own: boolean, nowNsU64: bigint): void {
    if (this.#end !== undefined || this.phase === "over") return;
    this.#end = end;
    this.#endNsU64 = nowNsU64;
    if (own) this.#broadcast(end);
    this.phase = "ending";
    this.#effects.push({ kind: "stop" });
  }

  #time(nowNsU64: bigint): void {
    if (this.phase === "ending") return this.#maybeOver(nowNsU64);
    this.#probe(nowNsU64);
    this.#maybeStart(nowNsU64);
    const silence = BigInt(this.#options.silenceMs) * msU64;
    if (nowNsU64 - this.#aliveNsU64 > silence / 6n) {
      this.#aliveNsU64 = nowNsU64;
      for (const to of this.#others()) {
        this.#effects.push({ kind: "send-once", to, message: { kind: "alive" } });
      }
    }
    if (this.phase === "greeting") return this.#waitForPeers(nowNsU64);
    for (const peer of this.#others()) {
      const heard = this.#heard[peer] ?? nowNsU64;
      if (nowNsU64 - heard > silence) {
        this.#loseNode(peer, `nothing heard for ${this.#options.silenceMs} ms`, nowNsU64);
      }
    }
  }

  #waitForPeers(nowNsU64: bigint): void {
    if (nowNsU64 - this.#startedNsU64 < BigInt(this.#options.joinMs) * msU64) return;
    const missing = this.#others().filter((index) => this.#hellos[index] === undefined);
    const names = missing.map((index) => `node ${index} (${this.#options.names[index]})`);
    this.phase = "over";
    this.#effects.push({
      kind: "finish",
      code: 4,
      cause: "failed",
      reason:
        `${names.join(", ")} did not answer within ${this.#options.joinMs / 1000} s: ` +
        "start giantvm there with the same --peers, and check address, port and firewall",
    });
  }

  #probe(nowNsU64: bigint): void {
    const wanted = this.phase === "configuring" || this.phase === "loading";
    if (!wanted || this.#options.node === 0 || this.#clock.samples >= probesWanted) return;
    if (nowNsU64 - this.#probeNsU64 < probeGapNsU64) return;
    this.#probeNsU64 = nowNsU64;
    this.#effects.push({
      kind: "send-once",
      to: 0,
      message: { kind: "ping", sentNsU64: nowNsU64 },
    });
  }

  #maybeOver(nowNsU64: bigint): void {
    const end = this.#end;
    if (end === undefined) return;
    const all = this.#others().every((node) => this.#ended.has(node));
    const late = nowNsU64 - this.#endNsU64 > endGraceNsU64;
    const lost = end.cause === "lost";
    if (!(this.#stopped && all) && !late && !lost) return;
    this.phase = "over";
    if (end.cause === "reset" && all) {
      this.#effects.push({ kind: "restart", epoch: this.#epoch + 1 });
    } else {
      this.#effects.push({ kind: "finish", code: end.code, cause: end.cause, reason: end.reason });
    }
  }
}
