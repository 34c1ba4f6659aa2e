/**
 * @module Slow devices from a seed: vCPUs of several nodes that each issue one access after the
 * other, links that delay (the data plane delivers each message once and in order per vCPU), and a
 * device that takes its time, fails, answers twice, answers nonsense or never. The owner is the
 * production Forwarder; the run checks every promise it makes.
 */

import { type Access, type Effect, Forwarder, type Place } from "../protocol/forward.ts";
import { Random } from "./random.ts";

const usU64 = 1000n;
const portFirst = 0x600;

export type ForwardPlan = {
  readonly seed: number;
  readonly vcpus: number;
  readonly accesses: number;
  readonly failPercent: number;
  /** One access is never answered. */
  readonly hang: boolean;
};

export type ForwardResult = {
  readonly answered: number;
  readonly failed: number;
  readonly ended: string | undefined;
  readonly warnings: readonly string[];
};

type Timer = { readonly atNsU64: bigint; readonly order: number; readonly run: () => void };
type Issued = { readonly id: number; readonly vcpu: number; readonly value: number };

const place: Place = {
  name: "slow",
  space: "port",
  firstU64: BigInt(portFirst),
  lastU64: BigInt(portFirst + 0xff),
  node: 1,
  answerMs: 50,
};

export class ForwardSim {
  readonly #plan: ForwardPlan;
  readonly #random: Random;
  readonly #owner = new Forwarder(1, [place]);
  readonly #timers: Timer[] = [];
  readonly #slots = new Map<number, Issued>();
  /** By vCPU: which access is next, which was executed last. */
  readonly #next: number[];
  readonly #executed: number[];
  readonly #valueOf = new Map<Access, number>();
  readonly #failing = new Set<number>();
  readonly #hung: number;
  #nowNsU64 = 0n;
  #order = 0;
  #id = 0;
  #answered = 0;
  #failed = 0;
  #ended: string | undefined;
  readonly #warnings: string[] = [];

  constructor(plan: ForwardPlan) {
    this.#plan = plan;
    this.#random = new Random(plan.seed);
    this.#next = Array.from({ length: plan.vcpus }, () => 0);
    this.#executed = Array.from({ length: plan.vcpus }, () => -1);
    this.#hung = plan.hang ? this.#random.below(plan.vcpus * plan.accesses) : -1;
  }

  run(): ForwardResult {
    for (let vcpu = 0; vcpu < this.#plan.vcpus; vcpu += 1) this.#issue(vcpu);
    for (;;) {
      this.#timers.sort((a, b) => Number(a.atNsU64 - b.atNsU64) || a.order - b.order);
      const timer = this.#timers.shift();
      if (timer === undefined) break;
      this.#nowNsU64 = timer.atNsU64;
      timer.run();
    }
    // The guest hangs for ever or the end was told: nothing is left in between.
    this.#nowNsU64 += 1_000_000n * BigInt(place.answerMs);
    this.#execute(this.#owner.step({ kind: "tick" }, this.#nowNsU64));
    return {
      answered: this.#answered,
      failed: this.#failed,
      ended: this.#ended,
      warnings: this.#warnings,
    };
  }

  #wrong(what: string): never {
    throw new Error(`seed ${this.#plan.seed}: ${what}`);
  }

  #later(maxUs: number, run: () => void): void {
    this.#order += 1;
    const atNsU64 = this.#nowNsU64 + BigInt(1 + this.#random.below(maxUs)) * usU64;
    this.#timers.push({ atNsU64, order: this.#order, run });
  }

  /** The next access of a vCPU; its value names it, so that an answer can be told from others. */
  #issue(vcpu: number): void {
    const index = this.#next[vcpu] ?? 0;
    if (index === this.#plan.accesses) return;
    this.#next[vcpu] = index + 1;
    const id = this.#id;
    this.#id += 1;
    const value = vcpu * this.#plan.accesses + index;
    this.#slots.set(id, { id, vcpu, value });
    const access: Access = {
      space: "port",
      write: false,
      addressU64: BigInt(portFirst + (value % 252)),
      size: 4,
      count: 1 + (value % 3),
      data: new Uint8Array(),
    };
    this.#valueOf.set(access, value);
    const event = { kind: "access", id, fromNode: vcpu % 3, vcpu, access } as const;
    this.#later(300, () => this.#execute(this.#owner.step(event, this.#nowNsU64)));
  }

  #execute(effects: readonly Effect[]): void {
    for (const effect of effects) {
      if (this.#ended !== undefined) this.#wrong("an effect after the end");
      switch (effect.kind) {
        case "execute":
          this.#device(effect.ticket, effect.access);
          break;
        case "reply":
          this.#reply(effect.id, effect.data);
          break;
        case "warn":
          this.#warnings.push(effect.text);
          break;
        case "end":
          this.#ended = effect.reason;
          break;
        default:
          effect satisfies never;
      }
    }
  }

  #device(ticket: number, access: Access): void {
    const value = this.#valueOf.get(access);
    if (value === undefined) return this.#wrong("an access was executed that nobody made");
    const vcpu = Math.floor(value / this.#plan.accesses);
    const index = value % this.#plan.accesses;
    const expected = (this.#executed[vcpu] ?? -1) + 1;
    if (index !== expected) this.#wrong(`vCPU ${vcpu}: executed ${index} instead of ${expected}`);
    this.#executed[vcpu] = index;
    if (value === this.#hung) return;
    const answer = new Uint8Array(access.size * access.count);
    new DataView(answer.buffer).setUint32(0, value);
    const answered = (data: Uint8Array) => () =>
      this.#execute(this.#owner.step({ kind: "answered", ticket, data }, this.#nowNsU64));
    if (!this.#random.chance(this.#plan.failPercent)) {
      this.#later(3000, answered(answer));
      // A device that answers twice changes nothing.
      if (this.#random.chance(10)) this.#later(9000, answered(answer));
      return;
    }
    this.#failing.add(value);
    const failed = () =>
      this.#execute(
        this.#owner.step({ kind: "failed", ticket, reason: "it broke" }, this.#nowNsU64),
      );
    if (this.#random.chance(50)) return this.#later(2000, failed);
    this.#later(2000, answered(new Uint8Array(1)));
  }

  #reply(id: number, data: Uint8Array): void {
    const slot = this.#slots.get(id);
    if (slot === undefined) return this.#wrong(`access ${id} was answered twice`);
    this.#slots.delete(id);
    const got = new DataView(data.buffer, data.byteOffset).getUint32(0);
    if (data.every((byte) => byte === 0xff)) {
      if (!this.#failing.has(slot.value)) this.#wrong("a working device read as all ones");
      this.#failed += 1;
    } else if (got === slot.value) {
      this.#answered += 1;
    } else {
      this.#wrong(`vCPU ${slot.vcpu} got ${got} for ${slot.value}`);
    }
    this.#later(300, () => this.#issue(slot.vcpu));
  }
}
