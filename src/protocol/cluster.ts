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

import { agree, type Agreement, disagreement, foreignReason, nameOf } from "./agreement.ts";
import { ClockProbe } from "./clock.ts";
import { Ending } from "./ending.ts";
import {
  type ConsoleHold,
  type ControlMessage,
  type End,
  type EndCause,
  epochAny,
  type ForeignHello,
  type Hello,
  protocolVersion,
  type TscPing,
  type TscPong,
} from "./messages.ts";
import type { CpuidEntry } from "../node/dataplane.ts";

const stages = { configured: 1, loaded: 2 } as const;
/** Asked at most so often: the shortest of many says most on a busy machine. */
const probesWanted = 400;
const probeGapNsU64 = 5_000_000n;
const msU64 = 1_000_000n;
/** Nothing is lost while no guest runs, and a data plane may take its time then. */
const calmSilenceMs = 10_000;
/** Ticks come every 50 ms at the latest: this node itself was held up for so long. */
const stallNsU64 = 100n * msU64;
const u64Max = (1n << 64n) - 1n;

export type Options = {
  readonly node: number;
  readonly names: readonly string[];
  readonly build: string;
  readonly epoch: number;
  readonly silenceMs: number;
  readonly joinMs: number;
  readonly cpuidOf: (hellos: readonly Hello[]) => readonly CpuidEntry[];
};

export type Event =
  /** The data plane of this host is there: greet. */
  | { readonly kind: "opened"; readonly hello: Hello }
  | {
      readonly kind: "message";
      readonly from: number;
      readonly message: ControlMessage | ForeignHello;
    }
  | { readonly kind: "heard"; readonly from: number }
  /** The peer is another process than before and knows nothing of what was. */
  | { readonly kind: "restarted"; readonly from: number }
  /** The peer's datagrams are of another version. */
  | { readonly kind: "version"; readonly from: number; readonly version: number }
  | { readonly kind: "tick" }
  | { readonly kind: "configured" }
  | { readonly kind: "loaded" }
  | { readonly kind: "stopped" }
  /** The others hear the reason with this node's name before it. */
  | {
      readonly kind: "end";
      readonly cause: EndCause;
      readonly code: number;
      readonly reason: string;
    }
  | { readonly kind: "lost"; readonly node: number; readonly how: string }
  /** The same of a node whose engine never said anything. */
  | { readonly kind: "unheard"; readonly node: number; readonly how: string };

export type Effect =
  | { readonly kind: "send"; readonly to: number; readonly message: ControlMessage }
  | { readonly kind: "send-once"; readonly to: number; readonly message: ControlMessage }
  | {
      readonly kind: "configure";
      readonly agreement: Agreement;
      readonly hellos: readonly Hello[];
    }
  | { readonly kind: "load" }
  /** `boundNs`: how far this node's guest clock may be from node 0's; node 0's is the clock. */
  | { readonly kind: "run"; readonly tscZeroNsU64: bigint; readonly boundNs: bigint | undefined }
  | { readonly kind: "stop" }
  | { readonly kind: "console"; readonly bytes: Uint8Array }
  | ConsoleHold
  | { readonly kind: "input"; readonly bytes: Uint8Array }
  | { readonly kind: "input-taken" }
  | { readonly kind: "power" }
  /** Another node asks for this one's part of the VM, or answers. */
  | {
      readonly kind: "ask" | "answer";
      readonly from: number;
      readonly id: number;
      readonly text: string;
    }
  /** Of a node whose guest runs, to this one whose guest runs too. */
  | { readonly kind: "tsc"; readonly from: number; readonly message: TscPing | TscPong }
  /** For the log: a node has come. */
  | { readonly kind: "greeted"; readonly name: string }
  | { readonly kind: "restart"; readonly epoch: number }
  | {
      readonly kind: "finish";
      readonly code: number;
      readonly cause: EndCause;
      readonly reason: string;
    };

export type Phase = "greeting" | "configuring" | "loading" | "running" | "ending" | "over";

/** How long a peer may be silent while no guest runs. */
export function calmLimitMs(silenceMs: number): number {
  return Math.max(silenceMs, calmSilenceMs);
}

export class Cluster {
  phase: Phase = "greeting";
  readonly #options: Options;
  readonly #hellos: (Hello | undefined)[];
  readonly #heard: bigint[];
  readonly #ready: Set<number>[] = [new Set(), new Set(), new Set()];
  /** Nodes of which anything was heard. */
  readonly #met = new Set<number>();
  readonly #lost = new Set<number>();
  readonly #clock = new ClockProbe();
  readonly #epoch: number;
  readonly #startedNsU64: bigint;
  #steppedNsU64: bigint;
  #aliveNsU64: bigint;
  #probeNsU64 = 0n;
  readonly #ending: Ending;
  #start: bigint | undefined;
  #effects: Effect[] = [];

  constructor(options: Options, nowNsU64: bigint) {
    this.#options = options;
    this.#ending = new Ending(options);
    this.#epoch = options.epoch;
    this.#hellos = options.names.map(() => undefined);
    this.#heard = options.names.map(() => nowNsU64);
    this.#startedNsU64 = nowNsU64;
    this.#steppedNsU64 = nowNsU64;
    this.#aliveNsU64 = nowNsU64;
  }

  step(event: Event, nowNsU64: bigint): readonly Effect[] {
    if (this.phase === "over") return this.#afterwards(event, nowNsU64);
    this.#listens(nowNsU64);
    switch (event.kind) {
      case "opened":
        if (this.phase !== "greeting") break;
        this.#hellos[this.#options.node] = event.hello;
        this.#broadcast(event.hello);
        this.#compare(nowNsU64);
        break;
      case "message":
        this.#hear(event.from, nowNsU64);
        this.#message(event.from, event.message, nowNsU64);
        break;
      case "heard":
        this.#hear(event.from, nowNsU64);
        break;
      case "restarted":
        this.#hear(event.from, nowNsU64);
        this.#restarted(event.from, nowNsU64);
        break;
      case "version":
        this.#hear(event.from, nowNsU64);
        this.#refuse(
          `${this.#name(event.from)} sends datagrams of version ${event.version}, which ` +
            `${this.#name(this.#options.node)} cannot read: run the same giantvm on all nodes`,
          nowNsU64,
        );
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
        if (this.#ending.stopped()) this.#broadcast({ kind: "ended", epoch: this.#epoch });
        break;
      case "end":
        this.#finish({ ...event, kind: "end", epoch: this.#epoch }, "named", nowNsU64);
        break;
      case "lost":
        this.#loseNode(event.node, event.how, nowNsU64);
        break;
      case "unheard":
        this.#unheard(event.node, event.how, nowNsU64);
        break;
      default:
        event satisfies never;
    }
    this.#time(nowNsU64);
    return this.#take();
  }

  /** Until the next epoch begins the others shall hear that this node lives. */
  #afterwards(event: Event, nowNsU64: bigint): readonly Effect[] {
    if (event.kind === "tick" && this.#ending.end?.cause === "reset") this.#signOfLife(nowNsU64);
    return this.#take();
  }

  /** What came while this node was held up still is in its socket: nobody was silent meanwhile. */
  #listens(nowNsU64: bigint): void {
    const stalled = nowNsU64 - this.#steppedNsU64;
    this.#steppedNsU64 = nowNsU64;
    if (stalled < stallNsU64) return;
    for (const [node, heard] of this.#heard.entries()) this.#heard[node] = heard + stalled;
  }

  #name(node: number): string {
    return nameOf(this.#options.names, node);
  }

  #hear(from: number, nowNsU64: bigint): void {
    this.#heard[from] = nowNsU64;
    this.#met.add(from);
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

  #message(from: number, message: ControlMessage | ForeignHello, nowNsU64: bigint): void {
    switch (message.kind) {
      case "hello":
        if (message.epoch !== this.#epoch || this.phase !== "greeting") return;
        this.#hellos[from] = message;
        this.#effects.push({ kind: "greeted", name: this.#name(from) });
        this.#compare(nowNsU64);
        return;
      case "foreign": {
        const { build, node } = this.#options;
        const own = { protocol: protocolVersion, build, is: this.#name(node) };
        this.#refuse(foreignReason({ ...message, is: this.#name(from) }, own), nowNsU64);
        return;
      }
      case "ready":
        if (message.epoch === this.#epoch) this.#isReady(from, message.stage);
        return;
      case "start":
        if (message.epoch !== this.#epoch || from !== 0) return;
        this.#start = message.tscZeroNsU64;
        return;
      case "ping":
        return this.#pong(from, message.sentNsU64, nowNsU64);
      case "pong":
        if (from === 0) this.#clock.add(message.sentNsU64, message.answeredNsU64, nowNsU64);
        return;
      case "tsc-ping":
      case "tsc-pong":
        if (message.epoch !== this.#epoch || this.phase !== "running") return;
        this.#effects.push({ kind: "tsc", from, message });
        return;
      case "end":
        if (message.epoch === epochAny) this.#ending.ended(from);
        this.#endOf(message, nowNsU64);
        return;
      case "ended":
        if (message.epoch === this.#epoch) this.#ending.ended(from);
        return;
      case "console":
        this.#effects.push({ kind: "console", bytes: message.bytes });
        return;
      case "console-hold":
      case "input":
      case "input-taken":
        this.#effects.push(message);
        return;
      case "power":
        this.#effects.push({ kind: "power" });
        return;
      case "ask":
      case "answer":
        this.#effects.push({ ...message, from });
        return;
      case "alive":
        return;
      default:
        message satisfies never;
    }
  }

  #pong(to: number, sentNsU64: bigint, answeredNsU64: bigint): void {
    const message: ControlMessage = { kind: "pong", sentNsU64, answeredNsU64 };
    this.#effects.push({ kind: "send-once", to, message });
  }

  /** A reset ends where any other end comes on the way, even from a node that is a step behind. */
  #endOf(end: End, nowNsU64: bigint): void {
    const before = end.epoch === this.#epoch - 1 && this.phase === "greeting";
    if (end.epoch === epochAny) {
      // Only a greeting node can be refused; the others may not know yet.
      if (this.phase === "greeting") this.#finish({ ...end, epoch: this.#epoch }, "own", nowNsU64);
    } else if (end.epoch === this.#epoch || (before && end.cause !== "reset")) {
      this.#finish(end, "told", nowNsU64);
    }
  }

  #restarted(from: number, nowNsU64: bigint): void {
    const hello = this.#hellos[this.#options.node];
    if (this.phase === "greeting" && this.#epoch === 1) {
      this.#hellos[from] = undefined;
      for (const ready of this.#ready) ready.delete(from);
      if (hello !== undefined) this.#effects.push({ kind: "send", to: from, message: hello });
      return;
    }
    const reason =
      `${this.#name(this.#options.node)} still was in the VM that ${this.#name(from)} has left: ` +
      "start giantvm on all nodes again";
    const end = { kind: "end", epoch: epochAny, cause: "failed", code: 4, reason } as const;
    this.#effects.push({ kind: "send", to: from, message: end });
    // Also one that has stopped for a reset: it will not come back.
    this.#lose(from, "its giantvm was started again", nowNsU64);
  }

  /** What prevents these nodes from ever being one machine; of no meaning once they are. */
  #refuse(reason: string, nowNsU64: bigint): void {
    if (this.phase !== "greeting") return;
    const end = { kind: "end", epoch: this.#epoch, cause: "failed", code: 4, reason } as const;
    this.#finish(end, "own", nowNsU64);
  }

  #compare(nowNsU64: bigint): void {
    const reason = disagreement(this.#hellos, this.#options.names);
    if (reason !== undefined) return this.#refuse(reason, nowNsU64);
    const hellos = this.#hellos.filter((hello) => hello !== undefined);
    if (hellos.length !== this.#hellos.length) return;
    const outcome = agree(hellos, this.#options.cpuidOf);
    // Everyone computes the same, so everyone says the same sentence.
    if (!outcome.ok) return this.#refuse(outcome.reason, nowNsU64);
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
    // Once: a peer may repeat itself while the guest runs.
    if (stage === stages.configured && this.phase === "configuring") {
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
      this.#run(nowNsU64, undefined);
    } else if (this.#start !== undefined && this.#clock.settled !== undefined) {
      const { offsetNs, boundNs } = this.#clock.settled;
      const zero = this.#start - offsetNs;
      if (zero >= 0n && zero <= u64Max) return this.#run(zero, boundNs);
      const reason = "node 0 named a start outside of time";
      const end = { kind: "end", epoch: this.#epoch, cause: "failed", code: 7, reason } as const;
      this.#finish(end, "own", nowNsU64);
    }
  }

  #run(tscZeroNsU64: bigint, boundNs: bigint | undefined): void {
    this.phase = "running";
    this.#effects.push({ kind: "run", tscZeroNsU64, boundNs });
  }

  #loseNode(node: number, how: string, nowNsU64: bigint): void {
    if (!this.#ending.hasEnded(node)) this.#lose(node, how, nowNsU64);
  }

  /** An engine starts when its node has heard all others: one that still greets has none yet. */
  #unheard(node: number, how: string, nowNsU64: bigint): void {
    const ready = this.#ready[stages.configured];
    const greets = this.phase === "configuring" && ready?.has(node) === false;
    if (!greets) return this.#loseNode(node, how, nowNsU64);
    const waiting = this.#others().filter((index) => ready?.has(index) === false);
    const reason =
      `${waiting.map((index) => this.#name(index)).join(", ")} did not hear every other node in ` +
      "time: let all UDP pass between each two nodes, and check their addresses and routes";
    const end = { kind: "end", epoch: this.#epoch, cause: "failed", code: 4, reason } as const;
    this.#finish(end, "own", nowNsU64);
  }

  #lose(node: number, how: string, nowNsU64: bigint): void {
    if (this.#lost.has(node)) return;
    const reason = `${this.#name(node)} was lost: ${how}; its memory is gone, so the VM ends`;
    const end = { kind: "end", epoch: this.#epoch, cause: "lost", code: 5, reason } as const;
    // Told to the lost node as well: it may hear without being heard, and would run on.
    this.#finish(end, "own", nowNsU64);
    this.#lost.add(node);
  }

  /** @param whose told by another node, found out here, or here and only to be understood so. */
  #finish(end: End, whose: "told" | "own" | "named", nowNsU64: bigint): void {
    if (this.phase === "over") return;
    const begun = this.#ending.begin(end, whose !== "told", nowNsU64);
    if (begun === "late") return;
    const prefix = `${this.#name(this.#options.node)}: `;
    const alone = whose === "named" && (end.cause === "failed" || end.cause === "signal");
    if (whose !== "told") {
      this.#broadcast(alone ? { ...end, reason: prefix + end.reason } : end);
    }
    this.phase = "ending";
    if (begun === "first") this.#effects.push({ kind: "stop" });
  }

  #time(nowNsU64: bigint): void {
    this.#signOfLife(nowNsU64);
    if (this.phase === "ending") return this.#maybeOver(nowNsU64);
    this.#probe(nowNsU64);
    this.#maybeStart(nowNsU64);
    if (this.phase === "greeting") this.#waitForPeers(nowNsU64);
    // In the first epoch some may not have been started yet.
    if (this.phase !== "greeting" || this.#epoch > 1) this.#findSilent(nowNsU64);
  }

  #signOfLife(nowNsU64: bigint): void {
    if (nowNsU64 - this.#aliveNsU64 <= (BigInt(this.#options.silenceMs) * msU64) / 6n) return;
    this.#aliveNsU64 = nowNsU64;
    for (const to of this.#others()) {
      this.#effects.push({ kind: "send-once", to, message: { kind: "alive" } });
    }
  }

  #findSilent(nowNsU64: bigint): void {
    const { silenceMs } = this.#options;
    // In a reset the guest runs until this node has stopped.
    const stopping = this.phase === "ending" && !this.#ending.hasEnded(this.#options.node);
    const runs = this.phase === "running" || stopping;
    const limitMs = runs ? silenceMs : calmLimitMs(silenceMs);
    for (const peer of this.#others()) {
      const heard = this.#heard[peer] ?? nowNsU64;
      if (nowNsU64 - heard <= BigInt(limitMs) * msU64) continue;
      this.#loseNode(peer, `nothing heard for ${limitMs} ms`, nowNsU64);
    }
  }

  #waitForPeers(nowNsU64: bigint): void {
    if (nowNsU64 - this.#startedNsU64 < BigInt(this.#options.joinMs) * msU64) return;
    const missing = this.#others().filter((index) => this.#hellos[index] === undefined);
    const names = missing.map((index) => this.#name(index));
    this.#refuse(
      `${names.join(", ")} did not answer within ${this.#options.joinMs / 1000} s: ` +
        "start giantvm there with the same --peers, and check address, port and firewall",
      nowNsU64,
    );
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
    // A reset needs everybody, however long it takes; who dies on the way is lost.
    if (this.#ending.end?.cause === "reset") this.#findSilent(nowNsU64);
    const end = this.#ending.outcome(this.#others(), this.#met, nowNsU64);
    if (end === undefined) return;
    this.phase = "over";
    const { code, cause, reason } = end;
    if (cause === "reset") this.#effects.push({ kind: "restart", epoch: this.#epoch + 1 });
    else this.#effects.push({ kind: "finish", code, cause, reason });
  }
}
