/**
 * @module Hosts whose counters run at rates of their own, each with the production state machine
 * that keeps its guest's TSC beside the others' (protocol/drift.ts), over a network whose ways are
 * lopsided, jittery and lossy. The simulator alone knows the truth, and judges every word by it.
 *
 * Time is in nanoseconds of the truth. A host's counter is what its oscillator makes of that.
 */

import { Drift, type DriftEffect, type DriftEvent, type Reading } from "../protocol/drift.ts";
import type { TscPing, TscPong } from "../protocol/messages.ts";
import { Random } from "./random.ts";

export type ClockPlan = {
  readonly seed: number;
  readonly nodes: number;
  readonly tscKhz: number;
  /** Rates are up to so far from what they are named. */
  readonly ppm: number;
  /** TSCs are up to so far apart at the start. */
  readonly apartUs: number;
  /** The quickest way of each link and direction is up to so long, the others longer by chance. */
  readonly wayUs: number;
  readonly jitterUs: number;
  readonly lossPercent: number;
  /** The counter of the last node jumps by so much in the middle; 0: not. */
  readonly jumpUs: number;
  /** The last node's KVM changes no offset. */
  readonly fixed: boolean;
};

const ns = { perMs: 1e6, perUs: 1e3, perSecond: 1e9 } as const;
/** A step waits for vCPUs, and one that comes too late for it ends it. */
const stepNsMax = 10 * ns.perMs;
/** Rates wander by so much per second at most. */
const wanderPerSecond = 0.1e-6;

type Host = {
  readonly drift: Drift;
  readonly rate: number;
  readonly offset: number;
  readonly phase: number;
  advanced: number;
  jumped: number;
  stepping: boolean;
  steps: number;
  last: number;
  readonly warnings: string[];
  readonly lines: string[];
};

type Timer = { readonly at: number; readonly order: number; readonly run: () => void };

export class ClockSim {
  readonly hosts: readonly Host[];
  readonly #plan: ClockPlan;
  readonly #random: Random;
  readonly #ways: readonly (readonly number[])[];
  #now = 0;
  #order = 0;
  #timers: Timer[] = [];

  constructor(plan: ClockPlan) {
    this.#plan = plan;
    this.#random = new Random(plan.seed);
    const places = Array.from({ length: plan.nodes }, (_, node) => node);
    this.#ways = places.map(() =>
      places.map(() => ns.perUs * (5 + this.#random.below(plan.wayUs))),
    );
    this.hosts = places.map((node) => this.#host(node, places));
    for (const node of places) this.#tick(node);
  }

  #host(node: number, places: readonly number[]): Host {
    const { ppm, tscKhz, apartUs } = this.#plan;
    const start: Reading = { countU64: 1_000_000_000n, advancedU64: 0n };
    const names = places.map((place) => `h${place}`);
    return {
      drift: new Drift({ node, names, epoch: 1, tscKhz }, start),
      rate: (this.#random.next() * 2 - 1) * ppm * 1e-6,
      offset: 1_000_000_000 + (this.#random.next() * apartUs * tscKhz) / 1000,
      phase: this.#random.next() * 2 * Math.PI,
      advanced: 0,
      jumped: 0,
      stepping: false,
      steps: 0,
      last: 0,
      warnings: [],
      lines: [],
    };
  }

  /** Ticks without steps. A slow swing makes the rate wander. */
  #count(host: Host): number {
    const seconds = this.#now / ns.perSecond;
    const swing = 2 * Math.PI * (1 / 60);
    const wander = (wanderPerSecond / swing ** 2) * Math.sin(swing * seconds + host.phase);
    const elapsed = seconds * (1 + host.rate) + wander;
    return Math.floor(host.offset + host.jumped + elapsed * this.#plan.tscKhz * 1000);
  }

  #tsc(host: Host): number {
    return this.#count(host) + host.advanced;
  }

  #reading(host: Host): Reading {
    const tsc = this.#tsc(host);
    if (tsc < host.last) throw new Error(`seed ${this.#plan.seed}: a TSC went back`);
    host.last = tsc;
    return { countU64: BigInt(this.#count(host)), advancedU64: BigInt(host.advanced) };
  }

  #later(delay: number, run: () => void): void {
    this.#order += 1;
    const timer = { at: this.#now + delay, order: this.#order, run };
    const after = this.#timers.findLastIndex((other) => other.at <= timer.at);
    this.#timers.splice(after + 1, 0, timer);
  }

  #tick(node: number): void {
    // Sometimes a busy host does nothing for a while.
    const late = this.#random.chance(1) ? 60 * ns.perMs : ns.perMs;
    this.#later(5 * ns.perMs + this.#random.next() * late, () => {
      this.#event(node, { kind: "tick" });
      this.#tick(node);
    });
  }

  #event(node: number, event: DriftEvent): void {
    const host = this.hosts[node];
    if (host === undefined) return;
    for (const effect of host.drift.step(event, this.#reading(host))) {
      this.#one(node, host, effect);
    }
  }

  #one(node: number, host: Host, effect: DriftEffect): void {
    switch (effect.kind) {
      case "send":
        return this.#send(node, effect.to, effect.message);
      case "advance":
        return this.#advance(node, host, Number(effect.fromU64), Number(effect.ticksU64));
      case "warn":
        host.warnings.push(effect.text);
        return;
      case "info":
        host.lines.push(effect.text);
        return;
      default:
        effect satisfies never;
    }
  }

  #send(from: number, to: number, message: TscPing | TscPong): void {
    if (this.#random.chance(this.#plan.lossPercent)) return;
    const copies = this.#random.chance(3) ? 2 : 1;
    for (let copy = 0; copy < copies; copy += 1) {
      const jitter = -Math.log(1 - this.#random.next()) * this.#plan.jitterUs * ns.perUs;
      const clogged = this.#random.chance(2) ? 20 * ns.perMs : 0;
      const delay = (this.#ways[from]?.[to] ?? 0) + jitter + clogged;
      this.#later(delay, () => this.#event(to, { kind: "message", from, message }));
    }
  }

  #advance(node: number, host: Host, from: number, ticks: number): void {
    if (this.#plan.fixed && node === this.#plan.nodes - 1) {
      this.#later(0, () => this.#event(node, { kind: "cannot" }));
      return;
    }
    if (ticks <= 0) throw new Error(`seed ${this.#plan.seed}: a step of ${ticks}`);
    if (host.stepping || host.advanced !== from) return;
    host.stepping = true;
    this.#later(this.#random.next() * stepNsMax, () => {
      host.stepping = false;
      // A vCPU waited for a page all the time.
      if (this.#random.chance(30)) return;
      host.advanced += ticks;
      host.steps += 1;
      const fastest = Math.max(...this.hosts.map((other) => this.#tsc(other)));
      // Counters are whole ticks, so a tick does not tell.
      const others = this.hosts.filter((other) => other !== host);
      const ahead = fastest - Math.max(...others.map((other) => this.#tsc(other)));
      if (ahead > 1 && this.#tsc(host) === fastest) {
        throw new Error(`seed ${this.#plan.seed}: node ${node} stepped ahead of all by ${ahead}`);
      }
    });
  }

  /** How far apart the TSCs are, in microseconds. */
  apartUs(): number {
    const all = this.hosts.map((host) => this.#tsc(host));
    return ((Math.max(...all) - Math.min(...all)) / this.#plan.tscKhz) * 1000;
  }

  /** Of the slowest link, the quickest there and back, in microseconds. */
  roundTripUs(): number {
    const trips = this.#ways.flatMap((ways, from) =>
      ways.map((way, to) => (from === to ? 0 : way + (this.#ways[to]?.[from] ?? 0))),
    );
    return Math.max(...trips) / ns.perUs;
  }

  /** The bounds that the nodes report now, in microseconds; undefined: not known. */
  boundsUs(): readonly (number | undefined)[] {
    return this.hosts.map((host) => {
      const report = host.drift.report(this.#reading(host));
      return report === undefined ? undefined : report.boundNs / 1000;
    });
  }

  /** No node says that the others are nearer than they are. */
  #judge(): void {
    const bounds = this.boundsUs();
    for (const [node, host] of this.hosts.entries()) {
      const bound = bounds[node];
      if (bound === undefined) continue;
      for (const [other, peer] of this.hosts.entries()) {
        const ticks = Math.abs(this.#tsc(peer) - this.#tsc(host));
        const us = (ticks / this.#plan.tscKhz) * 1000;
        // Whole ticks.
        if (us <= bound + 0.002) continue;
        const when = `seed ${this.#plan.seed}, ${(this.#now / ns.perSecond).toFixed(3)} s`;
        throw new Error(`${when}: node ${node} says ${bound} us, node ${other} is ${us} us away`);
      }
    }
  }

  /** Lets time pass; `judged`: every report on the way is compared with the truth. */
  run(seconds: number, judged = true): void {
    const end = this.#now + seconds * ns.perSecond;
    let look = this.#now;
    for (let timer = this.#timers[0]; timer !== undefined && timer.at <= end;) {
      if (judged && timer.at > look) {
        this.#now = look;
        this.#judge();
        look += ns.perMs * (1 + this.#random.below(40));
        continue;
      }
      this.#timers.shift();
      this.#now = timer.at;
      timer.run();
      timer = this.#timers[0];
    }
    this.#now = end;
  }

  /** The last node's host is moved: its counter goes on elsewhere, further on. */
  jump(): void {
    const host = this.hosts.at(-1);
    if (host !== undefined) host.jumped += (this.#plan.jumpUs * this.#plan.tscKhz) / 1000;
  }
}
