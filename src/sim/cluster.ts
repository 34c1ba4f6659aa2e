/**
 * @module A whole cluster in one deterministic run: the production Member (cluster, channels,
 * reliable links) of every node over a network that loses, doubles, delays, reorders and is cut.
 * What takes time on a real node (open, configure, load, stop) takes a random time here. Nodes are
 * processes: they start at different moments, die, and may be started again.
 *
 * Long because the world and all that can happen to it share one clock.
 */

import type { HostEffect } from "../protocol/member.ts";
import type { Event, Phase } from "../protocol/cluster.ts";
import { type Hello, protocolVersion } from "../protocol/messages.ts";
import { factsOf, type NodeLog, type Plan, port, Process } from "./node.ts";
import { Random } from "./random.ts";

const msU64 = 1_000_000n;
const stepNsU64 = msU64;

const signal = { kind: "end", cause: "signal", code: 143, reason: "SIGTERM" } as const;
/** How long an engine waits for the first word of another (native/zig/limits.zig). */
const firstWordMs = 30_000;
/** A data plane's heartbeat finds a closed port within so long. */
const heartbeatMs = 50;

type Timer = { readonly atNsU64: bigint; readonly order: number; readonly run: () => void };

export class ClusterSim {
  /** The last process of each place; undefined before the first. */
  readonly nodes: (Process | undefined)[];
  steps = 0;
  readonly #plan: Plan;
  readonly #random: Random;
  #nowNsU64 = msU64;
  #timers: Timer[] = [];
  #order = 0;
  #acted = false;
  #signalled = false;
  #runs = 0;
  /** Datagrams between the two sides are lost until then. */
  #cutUntilNsU64 = 0n;
  #side = new Set<number>();

  constructor(plan: Plan) {
    this.#plan = plan;
    this.#random = new Random(plan.seed);
    this.nodes = Array.from({ length: plan.nodes }, () => undefined);
    const last = plan.nodes - 1;
    for (const place of this.nodes.keys()) {
      if (place === last && plan.trouble === "absent") continue;
      const late = plan.trouble === "again" && place === 0 ? plan.startMs : 0;
      this.#within(plan.startMs, () => this.#start(place), late);
    }
    // Started again before the first node has come, so while everyone greets.
    if (plan.trouble === "again") this.#within(plan.startMs, () => this.#start(last));
    // At any moment up to the first instructions of the guest.
    if (plan.trouble === "again-any") {
      this.#within(3 * plan.startMs, () => {
        if (!this.#acted) this.#start(last);
      });
    }
  }

  /** Runs until every living node is over; throws when that takes more than `limitMs`. */
  run(limitMs: number): readonly (NodeLog | undefined)[] {
    const end = this.#nowNsU64 + BigInt(limitMs) * msU64;
    while (this.#anyAlive()) {
      if (this.#nowNsU64 > end) {
        const phases = this.nodes.map((node) => node?.member.phase).join(", ");
        throw new Error(`seed ${this.#plan.seed}: not over after ${limitMs} ms (${phases})`);
      }
      this.#step();
    }
    return this.nodes.map((node) => node?.log);
  }

  #anyAlive(): boolean {
    if (this.#timers.some((timer) => timer.order < 0)) return true;
    return this.nodes.some((node) => node?.alive === true && node.log.finished === undefined);
  }

  #start(place: number): void {
    const last = place === this.#plan.nodes - 1;
    const before = this.nodes[place];
    if (before !== undefined) before.alive = false;
    const order = this.nodes.map((_, index) => index);
    if (last && this.#plan.trouble === "order") order.reverse();
    const instanceU64 = (BigInt(1 + this.#random.below(2 ** 31)) << 1n) | 1n;
    const node = new Process(place, order, this.#plan, instanceU64, this.#nowNsU64);
    this.nodes[place] = node;
    this.#open(node, 1);
  }

  #open(node: Process, epoch: number): void {
    if (node.place === this.#plan.nodes - 1 && this.#plan.trouble === "open") {
      const end = { kind: "end", cause: "failed", code: 3, reason: "no /dev/kvm" } as const;
      return this.#later(20, () => this.#event(node, end));
    }
    const hello = this.#hello(node, epoch);
    this.#busy(node, () => this.#event(node, { kind: "opened", hello }));
  }

  #hello(node: Process, epoch: number): Hello {
    const { trouble, nodes } = this.#plan;
    const odd = (name: Plan["trouble"]) => node.place === nodes - 1 && trouble === name;
    return {
      kind: "hello",
      protocol: odd("protocol") ? protocolVersion + 1 : protocolVersion,
      build: odd("build") ? "other" : "same",
      epoch,
      order: node.order.map((peer) => `h${peer}:${port}`).join(","),
      cpus: 1,
      ramPages: 1024,
      dataPort: 4000 + node.place,
      vmIdU64: BigInt(node.place + 1),
      settings: [["silence", odd("setting") ? "1" : String(this.#plan.silenceMs)]],
      facts: factsOf(this.#random),
      hide: [],
      kernel: node.place === 0,
      obstacle: odd("obstacle") ? "nested paging: switched off" : "",
    };
  }

  #step(): void {
    this.steps += 1;
    this.#nowNsU64 += stepNsU64;
    const due = this.#timers
      .filter((timer) => timer.atNsU64 <= this.#nowNsU64)
      .toSorted((a, b) => Number(a.atNsU64 - b.atNsU64) || a.order - b.order);
    this.#timers = this.#timers.filter((timer) => timer.atNsU64 > this.#nowNsU64);
    for (const timer of due) timer.run();
    for (const node of this.nodes) {
      if (node === undefined || this.#blocked(node)) continue;
      this.#event(node, { kind: "tick" });
      this.#flush(node);
    }
    this.#maybeAct();
  }

  #all(phase: Phase): readonly Process[] | undefined {
    const nodes = this.nodes.filter((node) => node?.alive === true && node.member.phase === phase);
    return nodes.length === this.nodes.length ? nodes.flatMap((node) => node ?? []) : undefined;
  }

  /** Once all run: what the plan says; after a reset all run again, and the guest powers off. */
  #maybeAct(): void {
    const running = this.#all("running");
    if (running === undefined) return;
    const node = running[this.#random.below(running.length)];
    if (node === undefined) return;
    if (this.#acted) {
      if (["reset", "reset-slow"].includes(this.#plan.ending)) this.#powerOff(node);
      return;
    }
    this.#acted = true;
    this.#act(node);
  }

  #powerOff(node: Process): void {
    this.#event(node, { kind: "end", cause: "poweroff", code: 0, reason: "off" });
  }

  #act(node: Process): void {
    const { ending, silenceMs } = this.#plan;
    switch (ending) {
      case "poweroff":
        return this.#powerOff(node);
      case "reset":
      case "reset-hang":
      case "reset-kill":
      case "reset-signal":
      case "reset-slow":
      case "reset-lost":
      case "reset-again":
        return this.#reset(node);
      case "twice":
        this.#powerOff(node);
        return this.#event(this.nodes[this.#random.below(this.nodes.length)] ?? node, signal);
      case "kill":
        node.alive = false;
        return;
      case "again":
        return this.#start(node.place);
      case "cut":
        return this.#cut(silenceMs * 20);
      case "blip":
        this.#cut(silenceMs / 5);
        return this.#within(silenceMs, () => this.#powerOff(node), silenceMs);
      default:
        ending satisfies never;
    }
  }

  #reset(node: Process): void {
    const { ending, seed, silenceMs, stopMs } = this.#plan;
    const other = this.nodes[this.#random.below(this.nodes.length)] ?? node;
    // One that hangs or dies does so before it has stopped.
    other.stopping = ending === "reset-kill" || ending === "reset-hang";
    other.dying = ending === "reset-lost" || ending === "reset-again";
    this.#event(node, { kind: "end", cause: "reset", code: 0, reason: "again" });
    if (ending === "reset-kill") this.#within(stopMs, () => (other.alive = false));
    const next = this.nodes[(node.place + 1) % this.nodes.length];
    if (ending === "reset-slow" && next !== undefined) this.#hold(next, 2 * silenceMs, () => {});
    if (ending === "reset-signal" && seed % 3 === 0)
      this.#within(stopMs, () => this.#event(other, signal));
  }

  #cut(ms: number): void {
    this.#cutUntilNsU64 = this.#nowNsU64 + BigInt(Math.floor(ms)) * msU64;
    const places = [...this.nodes.keys()];
    this.#side = new Set(places.slice(0, 1 + this.#random.below(places.length - 1)));
  }

  #later(maxMs: number, run: () => void): void {
    const delay = BigInt(1 + this.#random.below(maxMs * 1000)) * 1000n;
    this.#order += 1;
    this.#timers.push({ atNsU64: this.#nowNsU64 + delay, order: this.#order, run });
  }

  /** The run is not over before this has happened. */
  #within(maxMs: number, run: () => void, afterMs = 0): void {
    const delay = BigInt(1 + afterMs * 1000 + this.#random.below(maxMs * 1000)) * 1000n;
    this.#runs += 1;
    this.#timers.push({ atNsU64: this.#nowNsU64 + delay, order: -this.#runs, run });
  }

  #event(node: Process, event: Event): void {
    if (this.#blocked(node)) node.socket.push(() => this.#event(node, event));
    else if (node.alive) this.#execute(node, node.member.step(event, this.#nowNsU64));
  }

  #blocked(node: Process): boolean {
    return this.#nowNsU64 < node.blockedUntilNsU64;
  }

  /** What takes a node's data plane its time; with `blockMs` the whole process waits for it. */
  #busy(node: Process, run: () => void): void {
    const { blockMs } = this.#plan;
    if (blockMs === 0) return this.#later(20, run);
    this.#hold(node, (1 + this.#random.below(blockMs * 1000)) / 1000, run);
  }

  /** The whole process stands still for so long, then runs this. */
  #hold(node: Process, ms: number, run: () => void): void {
    node.blockedUntilNsU64 = this.#nowNsU64 + BigInt(Math.round(ms * 1000)) * 1000n;
    this.#order += 1;
    const over = () => {
      run();
      for (const waiting of node.socket.splice(0)) waiting();
    };
    this.#timers.push({ atNsU64: node.blockedUntilNsU64, order: this.#order, run: over });
  }

  #execute(node: Process, effects: readonly HostEffect[]): void {
    const { log } = node;
    for (const effect of effects) {
      switch (effect.kind) {
        case "configure":
          log.configured += 1;
          this.#busy(node, () => {
            node.configured = log.restarts + 1;
            this.#awaitWords(node);
            this.#event(node, { kind: "configured" });
          });
          break;
        case "load":
          log.loaded += 1;
          this.#barrier(node, "configured");
          this.#later(node.place === 0 ? 200 : 1, () => {
            node.loaded = log.restarts + 1;
            this.#event(node, { kind: "loaded" });
          });
          break;
        case "run":
          log.ran += 1;
          this.#barrier(node, "loaded");
          break;
        case "stop":
          if (node.stopping) break;
          this.#later(this.#plan.stopMs, () => this.#event(node, { kind: "stopped" }));
          break;
        case "finish":
          log.finished = { code: effect.code, reason: effect.reason };
          break;
        case "restart":
          log.restarts += 1;
          this.#signalBetween(node);
          this.#closed(node);
          this.#busy(node, () => {
            this.#execute(node, node.member.restart(effect.epoch, this.#nowNsU64));
            if (node.member.phase === "greeting") this.#open(node, effect.epoch);
          });
          break;
        case "console":
        case "console-hold":
        case "input":
        case "input-taken":
        case "power":
        case "ask":
        case "answer":
        case "tsc":
        case "greeted":
          break;
        default:
          effect satisfies never;
      }
    }
  }

  /** An engine tells of those that are not started when the first word is due. */
  #awaitWords(node: Process): void {
    const epoch = node.configured;
    this.#order += 1;
    const due = this.#nowNsU64 + BigInt(firstWordMs) * msU64;
    const run = () => {
      for (const other of node.known.values()) {
        const peer = node.order.indexOf(other.place);
        const late = node.configured === epoch && other.configured < epoch;
        if (late) this.#event(node, { kind: "unheard", node: peer, how: "never heard" });
      }
    };
    this.#timers.push({ atNsU64: due, order: this.#order, run });
  }

  /** The data plane of an epoch is gone: engines that still run there find its port closed. */
  #closed(node: Process): void {
    const { restarts } = node.log;
    const again = this.#plan.ending === "reset-again";
    const die = () => (again ? this.#start(node.place) : (node.alive = false));
    if (node.dying) this.#within(40, die);
    for (const other of this.nodes) {
      if (other === undefined || other === node) continue;
      const lost = { kind: "lost", how: "its port is closed" } as const;
      this.#later(heartbeatMs, () => {
        const open = other.log.restarts < restarts;
        if (open) this.#event(other, { ...lost, node: other.order.indexOf(node.place) });
      });
    }
  }

  /** Nobody goes on before every process it has heard of has come so far in this epoch. */
  #barrier(node: Process, stage: "configured" | "loaded"): void {
    const behind = [node, ...node.known.values()].find((one) => one[stage] <= node.log.restarts);
    if (behind === undefined) return;
    throw new Error(
      `seed ${this.#plan.seed}: node ${node.place} goes on, ${behind.place} does not`,
    );
  }

  /** A signal in the narrowest moments: between two epochs, to this node or to one behind it. */
  #signalBetween(node: Process): void {
    const { ending, seed } = this.#plan;
    if (ending !== "reset-signal" || this.#signalled || seed % 3 === 0) return;
    this.#signalled = true;
    const behind = this.nodes.find((one) => one?.member.phase === "ending");
    this.#event((seed % 3 === 1 ? behind : undefined) ?? node, signal);
  }

  #flush(node: Process): void {
    if (!node.alive) return;
    for (const { to, datagram } of node.member.poll(this.#nowNsU64)) {
      this.#transmit(node, Number(to.address.slice(1)), datagram);
    }
  }

  #transmit(sender: Process, to: number, datagram: Uint8Array): void {
    const from = sender.place;
    if (this.#random.chance(this.#plan.lossPercent)) return;
    if (this.#nowNsU64 < this.#cutUntilNsU64 && this.#side.has(from) !== this.#side.has(to)) return;
    const odd = this.#plan.nodes - 1;
    if (this.#plan.trouble === "apart" && from + to === 2 * odd - 1) return;
    // The last node's program is of another time: neither side can read the other's datagrams.
    if (this.#plan.trouble === "version" && (from === odd) !== (to === odd)) datagram[2] = 9;
    const copies = this.#random.chance(5) ? 2 : 1;
    for (let copy = 0; copy < copies; copy += 1) {
      this.#later(8, () => this.#arrive(sender, to, datagram));
    }
  }

  #arrive(sender: Process, to: number, datagram: Uint8Array): void {
    const node = this.nodes[to];
    if (node === undefined || !node.alive) return;
    if (this.#blocked(node)) {
      node.socket.push(() => this.#arrive(sender, to, datagram));
      return;
    }
    const latest = this.nodes[sender.place] === sender || !node.known.has(sender.place);
    if (latest) node.known.set(sender.place, sender);
    const source = { address: `h${sender.place}`, port };
    this.#execute(node, node.member.receive(datagram, source, this.#nowNsU64));
  }
}
