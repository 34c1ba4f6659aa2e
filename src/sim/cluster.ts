/**
 * @module A whole cluster in one deterministic run: the production Cluster and ReliableLink of
 * every node over a network that loses, doubles, delays and reorders. What takes time on a real
 * node (configure, load, stop) takes a random time here.
 */

import type { HostFacts } from "../node/dataplane.ts";
import { decode, encode } from "../protocol/cbor.ts";
import { Cluster, type Effect, type Event } from "../protocol/cluster.ts";
import { fromWire, type Hello, protocolVersion, toWire } from "../protocol/messages.ts";
import { ReliableLink } from "../protocol/reliable.ts";
import { Random } from "./random.ts";

const msU64 = 1_000_000n;
const stepNsU64 = msU64;

export type Plan = {
  readonly seed: number;
  readonly nodes: number;
  readonly lossPercent: number;
  readonly silenceMs: number;
  /** What ends the run, once all nodes run. */
  readonly ending: "poweroff" | "reset" | "kill" | "disagree";
};

export type NodeLog = {
  readonly configured: number;
  readonly loaded: number;
  readonly ran: number;
  readonly finished: { readonly code: number; readonly reason: string } | undefined;
  readonly restarted: number | undefined;
};

const facts: HostFacts = {
  vendor: "AuthenticAMD",
  cpuid: [],
  tscKhz: 2_600_000,
  physicalAddressBits: 48,
  xcr0U64: 7n,
};

type Timer = { readonly atNsU64: bigint; readonly order: number; readonly run: () => void };

class Node {
  readonly log = {
    configured: 0,
    loaded: 0,
    ran: 0,
    finished: undefined as NodeLog["finished"],
    restarted: undefined as number | undefined,
  };
  readonly links: ReliableLink[];
  readonly cluster: Cluster;
  alive = true;

  constructor(index: number, plan: Plan, nowNsU64: bigint) {
    this.links = Array.from({ length: plan.nodes }, () => new ReliableLink());
    const hello: Hello = {
      kind: "hello",
      protocol: protocolVersion,
      build: plan.ending === "disagree" && index === plan.nodes - 1 ? "other" : "same",
      epoch: 1,
      order: "a,b",
      cpus: 1,
      ramPages: 1024,
      dataPort: 4000 + index,
      vmIdU64: BigInt(index + 1),
      silenceMs: plan.silenceMs,
      facts,
      hide: [],
    };
    const names = Array.from({ length: plan.nodes }, (_, i) => `n${i}`);
    this.cluster = new Cluster(
      { node: index, names, silenceMs: plan.silenceMs, joinMs: 60_000, cpuidOf: () => [] },
      hello,
      nowNsU64,
    );
  }
}

export class ClusterSim {
  readonly nodes: Node[];
  readonly #plan: Plan;
  readonly #random: Random;
  #nowNsU64 = msU64;
  #timers: Timer[] = [];
  #order = 0;
  #acted = false;
  steps = 0;

  constructor(plan: Plan) {
    this.#plan = plan;
    this.#random = new Random(plan.seed);
    this.nodes = Array.from({ length: plan.nodes }, (_, i) => new Node(i, plan, this.#nowNsU64));
    for (const [index, node] of this.nodes.entries()) this.#execute(index, node.cluster.begin());
  }

  /** Runs until every living node is over; throws when that takes more than `limitMs`. */
  run(limitMs: number): readonly NodeLog[] {
    const end = this.#nowNsU64 + BigInt(limitMs) * msU64;
    while (this.nodes.some((node) => node.alive && node.cluster.phase !== "over")) {
      if (this.#nowNsU64 > end) {
        const phases = this.nodes.map((node) => node.cluster.phase).join(", ");
        throw new Error(`seed ${this.#plan.seed}: not over after ${limitMs} ms (${phases})`);
      }
      this.#step();
    }
    return this.nodes.map((node) => node.log);
  }

  #step(): void {
    this.steps += 1;
    this.#nowNsU64 += stepNsU64;
    const due = this.#timers
      .filter((timer) => timer.atNsU64 <= this.#nowNsU64)
      .toSorted((a, b) => Number(a.atNsU64 - b.atNsU64) || a.order - b.order);
    this.#timers = this.#timers.filter((timer) => timer.atNsU64 > this.#nowNsU64);
    for (const timer of due) timer.run();
    for (const index of this.nodes.keys()) {
      this.#event(index, { kind: "tick" });
      this.#flush(index);
    }
    this.#maybeAct();
  }

  /** Once all run: the guest powers off or resets on some node, or a node dies. */
  #maybeAct(): void {
    if (this.#acted || !this.nodes.every((node) => node.cluster.phase === "running")) return;
    this.#acted = true;
    const index = this.#random.below(this.nodes.length);
    switch (this.#plan.ending) {
      case "poweroff":
        return this.#event(index, { kind: "end", cause: "poweroff", code: 0, reason: "off" });
      case "reset":
        return this.#event(index, { kind: "end", cause: "reset", code: 0, reason: "again" });
      case "kill": {
        const victim = this.nodes[index];
        if (victim !== undefined) victim.alive = false;
        return;
      }
      case "disagree":
        return;
      default:
        this.#plan.ending satisfies never;
    }
  }

  #later(maxMs: number, run: () => void): void {
    const delay = BigInt(1 + this.#random.below(maxMs * 1000)) * 1000n;
    this.#order += 1;
    this.#timers.push({ atNsU64: this.#nowNsU64 + delay, order: this.#order, run });
  }

  #event(index: number, event: Event): void {
    const node = this.nodes[index];
    if (node === undefined || !node.alive) return;
    this.#execute(index, node.cluster.step(event, this.#nowNsU64));
  }

  #execute(index: number, effects: readonly Effect[]): void {
    const node = this.nodes[index];
    if (node === undefined) return;
    for (const effect of effects) {
      switch (effect.kind) {
        case "send":
          node.links[effect.to]?.send(encode(toWire(effect.message)));
          break;
        case "send-once":
          node.links[effect.to]?.sendOnce(encode(toWire(effect.message)));
          break;
        case "configure":
          node.log.configured += 1;
          this.#later(20, () => this.#event(index, { kind: "configured" }));
          break;
        case "load":
          node.log.loaded += 1;
          this.#later(index === 0 ? 200 : 1, () => this.#event(index, { kind: "loaded" }));
          break;
        case "run":
          node.log.ran += 1;
          break;
        case "stop":
          this.#later(10, () => this.#event(index, { kind: "stopped" }));
          break;
        case "finish":
          node.log.finished = { code: effect.code, reason: effect.reason };
          break;
        case "restart":
          node.log.restarted = effect.epoch;
          break;
        case "console":
        case "input":
          break;
        default:
          effect satisfies never;
      }
    }
  }

  #flush(index: number): void {
    const node = this.nodes[index];
    if (node === undefined || !node.alive) return;
    for (const [to, link] of node.links.entries()) {
      for (const body of link.poll(this.#nowNsU64)) this.#transmit(index, to, body);
    }
  }

  #transmit(from: number, to: number, body: Uint8Array): void {
    if (this.#random.chance(this.#plan.lossPercent)) return;
    const copies = this.#random.chance(5) ? 2 : 1;
    for (let copy = 0; copy < copies; copy += 1) {
      this.#later(8, () => this.#arrive(from, to, body));
    }
  }

  #arrive(from: number, to: number, body: Uint8Array): void {
    const node = this.nodes[to];
    if (node === undefined || !node.alive) return;
    const received = node.links[from]?.receive(body);
    if (received === undefined || !received.understood) return;
    this.#event(to, { kind: "heard", from });
    for (const bytes of received.messages) {
      const message = fromWire(decode(bytes));
      if (message === undefined) throw new Error("a node sent what cannot be read");
      this.#event(to, { kind: "message", from, message });
    }
  }
}
