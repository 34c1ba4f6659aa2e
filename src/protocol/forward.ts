/**
 * @module Accesses to slow devices, as the node that owns them sees it, as a pure state machine.
 * A vCPU sleeps in the middle of its instruction meanwhile, so every access has one outcome: the
 * device's answer, all ones because the device failed (as an empty bus reads), or the end of the VM
 * with a sentence because its time is over. It is executed once, whatever comes late; accesses of
 * one vCPU are executed in their order. Between nodes they travel in the data plane, which delivers
 * each message once; a lost owner ends the VM in cluster.ts.
 */

import type { PortRange } from "../node/dataplane.ts";

export type Access = {
  readonly space: "port" | "mmio";
  readonly write: boolean;
  readonly addressU64: bigint;
  /** Bytes of one unit. */
  readonly size: number;
  /** Units: more than one for string instructions. */
  readonly count: number;
  readonly data: Uint8Array;
};

/** A device and where it answers. */
export type Place = {
  readonly name: string;
  readonly space: "port" | "mmio";
  readonly firstU64: bigint;
  readonly lastU64: bigint;
  readonly node: number;
  /** The VM ends when an access takes longer. */
  readonly answerMs: number;
};

/** The slow part of the routing table. Places that overlap are refused. */
export function slowRoutes(
  places: readonly Place[],
  taken: readonly PortRange[],
): readonly PortRange[] {
  const routes: PortRange[] = [];
  for (const place of places) {
    const { space, firstU64, lastU64, node, name } = place;
    const where = `${space} ${firstU64.toString(16)}-${lastU64.toString(16)}`;
    if (firstU64 > lastU64) throw new Error(`device ${name}: ${where} is no range`);
    const clash = [...taken, ...routes].some(
      (other) => other.space === space && other.firstU64 <= lastU64 && firstU64 <= other.lastU64,
    );
    if (clash) throw new Error(`device ${name}: another device answers within ${where}`);
    routes.push({ space, firstU64, lastU64, node, speed: "slow" });
  }
  return routes;
}

export type Event =
  | {
      readonly kind: "access";
      /** Where the data plane keeps the access until it is answered. */
      readonly id: number;
      readonly fromNode: number;
      readonly vcpu: number;
      readonly access: Access;
    }
  | { readonly kind: "answered"; readonly ticket: number; readonly data: Uint8Array }
  | { readonly kind: "failed"; readonly ticket: number; readonly reason: string }
  | { readonly kind: "tick" };

export type Effect =
  | {
      readonly kind: "execute";
      readonly ticket: number;
      readonly device: string;
      readonly access: Access;
    }
  | { readonly kind: "reply"; readonly id: number; readonly data: Uint8Array }
  | { readonly kind: "warn"; readonly text: string }
  | { readonly kind: "end"; readonly reason: string };

type Pending = Extract<Event, { kind: "access" }> & {
  readonly ticket: number;
  readonly place: Place;
  readonly dueNsU64: bigint;
};

const msU64 = 1_000_000n;
/** Addresses without a device that are said and remembered; the guest chooses them. */
const straysMax = 32;

export class Forwarder {
  readonly #node: number;
  readonly #places: readonly Place[];
  /** By vCPU: the first of each is at its device, the others wait for it. */
  readonly #queues = new Map<number, Pending[]>();
  readonly #failed = new Set<string>();
  readonly #strays = new Set<string>();
  #effects: Effect[] = [];
  #ticket = 0;
  #ended = false;

  constructor(node: number, places: readonly Place[]) {
    this.#node = node;
    this.#places = places.filter((place) => place.node === node);
  }

  /** Accesses that are not answered yet. */
  get pending(): number {
    return [...this.#queues.values()].reduce((sum, queue) => sum + queue.length, 0);
  }

  step(event: Event, nowNsU64: bigint): readonly Effect[] {
    if (this.#ended) return [];
    // What comes at its deadline or later comes too late, however the events are ordered.
    this.#expire(nowNsU64);
    if (!this.#ended) {
      switch (event.kind) {
        case "access":
          this.#access(event, nowNsU64);
          break;
        case "answered":
          this.#answered(event.ticket, event.data);
          break;
        case "failed":
          this.#gaveUp(event.ticket, event.reason);
          break;
        case "tick":
          break;
        default:
          event satisfies never;
      }
    }
    return this.#effects.splice(0);
  }

  #access(event: Extract<Event, { kind: "access" }>, nowNsU64: bigint): void {
    const { access } = event;
    const last = access.addressU64 + BigInt(access.size) - 1n;
    const place = this.#places.find(
      (one) =>
        one.space === access.space && one.firstU64 <= access.addressU64 && last <= one.lastU64,
    );
    if (place === undefined) {
      this.#stray(access);
      this.#effects.push({ kind: "reply", id: event.id, data: allOnes(access) });
      return;
    }
    const queue = this.#queues.get(event.vcpu) ?? [];
    this.#queues.set(event.vcpu, queue);
    this.#ticket += 1;
    const dueNsU64 = nowNsU64 + BigInt(place.answerMs) * msU64;
    queue.push({ ...event, ticket: this.#ticket, place, dueNsU64 });
    if (queue.length === 1) this.#execute(queue[0]);
  }

  #execute(next: Pending | undefined): void {
    if (next === undefined) return;
    const { ticket, place, access } = next;
    this.#effects.push({ kind: "execute", ticket, device: place.name, access });
  }

  #answered(ticket: number, data: Uint8Array): void {
    const pending = this.#atDevice(ticket);
    if (pending === undefined) return;
    const { access, place } = pending;
    const wanted = access.write ? 0 : access.size * access.count;
    if (data.length !== wanted) {
      return this.#gaveUp(ticket, `it answered ${data.length} bytes instead of ${wanted}`);
    }
    this.#failed.delete(place.name);
    this.#reply(pending, data);
  }

  #gaveUp(ticket: number, reason: string): void {
    const pending = this.#atDevice(ticket);
    if (pending === undefined) return;
    const { access, place } = pending;
    this.#warnOnce(
      place.name,
      `device ${place.name} of node ${this.#node} failed: ${reason}; ` +
        "until it recovers it reads as all ones",
    );
    this.#reply(pending, allOnes(access));
  }

  /** undefined for an access that is answered already: each has one outcome. */
  #atDevice(ticket: number): Pending | undefined {
    for (const [first] of this.#queues.values()) if (first?.ticket === ticket) return first;
    return undefined;
  }

  #reply(pending: Pending, data: Uint8Array): void {
    this.#effects.push({ kind: "reply", id: pending.id, data });
    const queue = this.#queues.get(pending.vcpu);
    queue?.shift();
    if (queue?.length === 0) this.#queues.delete(pending.vcpu);
    else this.#execute(queue?.[0]);
  }

  #warnOnce(device: string, text: string): void {
    if (this.#failed.has(device)) return;
    this.#failed.add(device);
    this.#effects.push({ kind: "warn", text });
  }

  #stray({ space, addressU64, size }: Access): void {
    const where = `${space} ${addressU64.toString(16)}`;
    if (this.#strays.has(where) || this.#strays.size === straysMax) return;
    this.#strays.add(where);
    const what = `no device of node ${this.#node} takes ${size} bytes at ${where}`;
    this.#effects.push({ kind: "warn", text: `${what}: it reads as all ones` });
  }

  #expire(nowNsU64: bigint): void {
    for (const queue of this.#queues.values()) {
      const late = queue.find((pending) => pending.dueNsU64 <= nowNsU64);
      if (late === undefined) continue;
      const { access, place, vcpu, fromNode } = late;
      const did = `${access.write ? "write to" : "read of"} ${access.space}`;
      this.#ended = true;
      this.#effects.push({
        kind: "end",
        reason:
          `device ${place.name} of node ${this.#node} has not answered the ${did} ` +
          `${access.addressU64.toString(16)} by vCPU ${vcpu} of node ${fromNode} within ` +
          `${place.answerMs} ms`,
      });
      return;
    }
  }
}

function allOnes(access: Access): Uint8Array {
  return new Uint8Array(access.write ? 0 : access.size * access.count).fill(0xff);
}
