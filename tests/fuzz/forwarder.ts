/**
 * @module Slow devices as the data plane hands accesses up: of any vCPU of any node, several of
 * one at once, at any address and of any size that vm/admit.zig lets through, with devices that
 * answer what they like. Each access has one outcome, in the order of its vCPU, until the one
 * sentence that ends the VM; beyond the accesses under way nothing is kept.
 */

import { type Access, type Effect, Forwarder, type Place } from "../../src/protocol/forward.ts";
import type { Random } from "../../src/sim/random.ts";
import { pick } from "./mutate.ts";

const self = 1;
/** As in the data plane: accesses that wait, bytes of one (vm/bus.zig). */
const slotsMax = 256;
const dataMax = 4096;
const straysMax = 32;
const u64Max = (1n << 64n) - 1n;
const answerMs = 50;

const places: readonly Place[] = [
  { name: "a", space: "port", firstU64: 0x500n, lastU64: 0x50fn, node: self, answerMs },
  { name: "b", space: "mmio", firstU64: 0xfe00_0000n, lastU64: u64Max, node: self, answerMs },
  { name: "c", space: "port", firstU64: 0x600n, lastU64: 0x60fn, node: 0, answerMs },
];
const edges = places.flatMap(({ firstU64, lastU64 }) => [firstU64, lastU64]);

type Issued = { readonly access: Access; readonly vcpu: number; readonly place: Place | undefined };

function drawnAccess(random: Random): Access {
  const size = 1 + random.below(8);
  const count = random.chance(80) ? 1 : 1 + random.below(Math.floor(dataMax / size));
  const write = random.chance(40);
  const near = pick(edges, random) + BigInt(random.below(24)) - 12n;
  const addressU64 = BigInt.asUintN(64, random.chance(90) ? near : BigInt(random.below(2 ** 32)));
  const data = new Uint8Array(write ? size * count : 0);
  return { space: random.chance(50) ? "port" : "mmio", write, addressU64, size, count, data };
}

/** Who takes it whole. */
function placeOf({ space, addressU64, size }: Access): Place | undefined {
  return places.find(
    (one) =>
      one.node === self &&
      one.space === space &&
      one.firstU64 <= addressU64 &&
      addressU64 + BigInt(size) - 1n <= one.lastU64,
  );
}

class Case {
  readonly #random: Random;
  readonly #owner = new Forwarder(self, places);
  readonly #open = new Map<number, Issued>();
  /** Of each vCPU, in order: those a device has to answer. */
  readonly #queues = new Map<number, Access[]>();
  /** At their devices, by ticket. */
  readonly #tickets = new Map<number, Access>();
  /** What the device of a ticket said, to be found in the reply. */
  #said: Uint8Array | undefined;
  #strays = 0;
  #nowNsU64 = 0n;
  over = false;

  constructor(random: Random) {
    this.#random = random;
  }

  step(): void {
    const random = this.#random;
    this.#nowNsU64 += BigInt(random.below(random.chance(99) ? 500_000 : 60_000_000));
    this.#said = undefined;
    if (random.chance(45)) return this.#issue();
    if (random.chance(10)) return this.#take({ kind: "tick" });
    const known = [...this.#tickets.keys()];
    const any = known.length === 0 || random.chance(10);
    const ticket = any ? random.below(500) : pick(known, random);
    if (random.chance(20)) return this.#take({ kind: "failed", ticket, reason: "it broke" });
    const access = this.#tickets.get(ticket);
    const wanted = access === undefined || access.write ? 0 : access.size * access.count;
    const right = random.chance(80);
    const data = new Uint8Array(right ? wanted : random.below(dataMax)).fill(0x5a);
    if (data.length === wanted) this.#said = data;
    this.#take({ kind: "answered", ticket, data });
  }

  #issue(): void {
    const id = this.#random.below(slotsMax);
    if (this.#open.has(id)) return;
    const access = drawnAccess(this.#random);
    const vcpu = this.#random.below(this.#random.chance(80) ? 4 : 255);
    const place = placeOf(access);
    this.#open.set(id, { access, vcpu, place });
    if (place !== undefined) {
      this.#queues.set(vcpu, [...(this.#queues.get(vcpu) ?? []), access]);
    }
    this.#take({ kind: "access", id, fromNode: this.#random.below(64), vcpu, access });
  }

  #take(event: Parameters<Forwarder["step"]>[0]): void {
    const effects = this.#owner.step(event, this.#nowNsU64);
    if (this.over && effects.length > 0) throw new Error("an effect after the end");
    for (const effect of effects) this.#one(effect);
    if (this.over) return;
    const waiting = [...this.#queues.values()].reduce((sum, queue) => sum + queue.length, 0);
    if (this.#owner.pending !== waiting) throw new Error("an access is kept that has its outcome");
    if (this.#open.size !== waiting) throw new Error("an access has lost its outcome");
  }

  #one(effect: Effect): void {
    switch (effect.kind) {
      case "execute": {
        const { access, ticket, device } = effect;
        const queue = [...this.#queues.values()].find(([first]) => first === access);
        if (queue === undefined) throw new Error("executed before its turn, or twice");
        if (device !== placeOf(access)?.name) throw new Error("executed by another device");
        if (this.#tickets.has(ticket)) throw new Error("a ticket twice");
        if ([...this.#tickets.values()].includes(access)) throw new Error("executed twice");
        this.#tickets.set(ticket, access);
        return;
      }
      case "reply":
        return this.#reply(effect.id, effect.data);
      case "warn":
        // However many addresses without a device there are.
        if (effect.text.startsWith("no device")) this.#strays += 1;
        if (this.#strays > straysMax) throw new Error("strays are said without end");
        return;
      case "end":
        this.over = true;
        return;
      default:
        effect satisfies never;
    }
  }

  #reply(id: number, data: Uint8Array): void {
    const issued = this.#open.get(id);
    if (issued === undefined) throw new Error("a reply to nobody");
    this.#open.delete(id);
    const { access, vcpu, place } = issued;
    if (data.length !== (access.write ? 0 : access.size * access.count)) {
      throw new Error(`${data.length} bytes for an access of ${access.size} x ${access.count}`);
    }
    const ones = data.every((byte) => byte === 0xff);
    if (place === undefined) {
      if (!ones) throw new Error("an empty bus answered");
      return;
    }
    if (this.#said !== data && !ones) throw new Error("bytes that no device gave");
    if (this.#queues.get(vcpu)?.shift() !== access) throw new Error("answered before its turn");
    for (const [ticket, at] of this.#tickets) if (at === access) this.#tickets.delete(ticket);
  }
}

export function forwarderTarget(random: Random): void {
  const one = new Case(random);
  const steps = 400;
  for (let step = 0; step < steps && !one.over; step += 1) one.step();
  // What still comes changes nothing.
  for (let step = 0; step < 5; step += 1) one.step();
}
