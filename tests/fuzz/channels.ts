/**
 * @module Two honest ends of the control plane on a bad network, one of them started again and
 * again, and an attacker who sends what must not be believed: from strangers' addresses anything,
 * from the peer's what is broken, of another version, or of or for a process that is gone. Each
 * attack is in exactly one counter; what the honest say arrives once and in order.
 */

import { decode, encode } from "../../src/protocol/cbor.ts";
import { Channels, type Counters, goneMax } from "../../src/protocol/channel.ts";
import { headerBytes } from "../../src/protocol/header.ts";
import { heldBytesMax } from "../../src/protocol/reliable.ts";
import type { Random } from "../../src/sim/random.ts";
import { changedBytes, pick, some } from "./mutate.ts";

const places = [0, 1].map((node) => ({ address: `h${node}`, port: 7777 })) as [
  { address: string; port: number },
  { address: string; port: number },
];
const strangers = [{ address: "h9", port: 7777 }, { address: "h1", port: 1 }, places[0]];
const stepNsU64 = 60_000_000n;
const toward = { at: 16, bytes: 4 };

/** A process of node 1, and what node 0 has had of it. */
class Life {
  readonly channels: Channels;
  readonly sent: number[] = [];
  got = 0;
  /** What it said, as datagrams. */
  readonly past: Uint8Array[] = [];
  heard = false;

  constructor(readonly instanceU64: bigint) {
    this.channels = new Channels(1, places, instanceU64);
  }
}

class Case {
  readonly #random: Random;
  readonly #a = new Channels(0, places, 1n);
  readonly #gone: Life[] = [];
  #b = new Life(3n);
  #serial = 0;
  /** The last of node 0's messages that this process of node 1 has had, and what was sent. */
  #fromA: number | undefined;
  #sentByA = 0;
  #now = 0n;

  constructor(random: Random) {
    this.#random = random;
  }

  round(calm: boolean): void {
    const random = this.#random;
    if (!calm && random.chance(4)) this.#again();
    if (!calm && random.chance(40)) this.#sayB();
    if (!calm && random.chance(40)) this.#sayA();
    for (const { datagram } of this.#b.channels.poll(this.#now)) {
      this.#b.past.push(datagram);
      for (let copies = this.#copies(calm); copies > 0; copies -= 1) this.#toA(datagram);
      if (!calm && random.chance(30)) this.#attack();
    }
    for (const { datagram } of this.#a.poll(this.#now)) {
      for (let copies = this.#copies(calm); copies > 0; copies -= 1) this.#toB(datagram);
    }
    if (!calm && random.chance(30)) this.#attack();
    this.#now += stepNsU64;
    const { gone, bytes } = this.#a.kept;
    if (gone > goneMax || bytes > heldBytesMax) throw new Error("node 0 keeps too much");
  }

  /** A last word of each to the other arrives. */
  end(): void {
    this.#sayB();
    for (let round = 0; round < 200 && !this.#b.heard; round += 1) this.round(true);
    this.#sayA();
    for (let round = 0; round < 200; round += 1) {
      this.round(true);
      if (this.#b.got === this.#b.sent.length && this.#fromA === this.#sentByA) return;
    }
    throw new Error("a message was lost");
  }

  #copies(calm: boolean): number {
    if (calm) return 1;
    if (this.#random.chance(20)) return 0;
    return this.#random.chance(20) ? 2 : 1;
  }

  #sayB(): void {
    this.#serial += 1;
    this.#b.sent.push(this.#serial);
    this.#b.channels.send(0, { kind: "ready", epoch: this.#serial, stage: 1 });
  }

  #sayA(): void {
    this.#sentByA += 1;
    this.#a.send(1, { kind: "ready", epoch: this.#sentByA, stage: 2 });
  }

  #again(): void {
    // Of what was never heard a late datagram would be taken for a new process.
    if (!this.#b.heard) return;
    this.#gone.push(this.#b);
    const low = BigInt(5 + 2 * this.#gone.length);
    this.#b = new Life((BigInt(this.#random.below(2 ** 31)) << 32n) | low);
    this.#fromA = undefined;
  }

  #toA(datagram: Uint8Array): void {
    const arrival = this.#a.receive(datagram, places[1]);
    // Meant for this process, or for whoever is there.
    if (arrival.kind !== "heard") throw new Error("an honest datagram was dropped");
    this.#b.heard = true;
    for (const message of arrival.messages) {
      const epoch = "epoch" in message ? message.epoch : -1;
      if (epoch !== this.#b.sent[this.#b.got]) throw new Error("twice, or out of order");
      this.#b.got += 1;
    }
  }

  #toB(datagram: Uint8Array): void {
    const arrival = this.#b.channels.receive(datagram, places[0]);
    if (arrival.kind !== "heard") return;
    for (const message of arrival.messages) {
      const epoch = "epoch" in message ? message.epoch : -1;
      if (this.#fromA !== undefined && epoch !== this.#fromA + 1) {
        throw new Error("twice, or out of order");
      }
      this.#fromA = epoch;
    }
  }

  #attack(): void {
    if (!this.#b.heard || this.#b.past.length === 0) return;
    const { why, datagram, from = places[1] } = this.#drawn();
    const before = { ...this.#a.counters };
    const { kind } = this.#a.receive(datagram, from);
    if (kind === "heard") throw new Error(`believed: ${why}`);
    for (const name of Object.keys(before) as (keyof Counters)[]) {
      const grown = this.#a.counters[name] - before[name];
      if (grown !== (name === why ? 1 : 0)) throw new Error(`${name} + ${grown} for ${why}`);
    }
  }

  #drawn(): { why: keyof Counters; datagram: Uint8Array; from?: (typeof strangers)[number] } {
    const random = this.#random;
    const datagram = pick(this.#b.past, random).slice();
    switch (random.below(6)) {
      case 0:
        return { why: "foreign", datagram, from: pick(strangers, random) };
      case 1:
        datagram[2] = 2 + random.below(254);
        return { why: "version", datagram };
      case 2:
        return { why: "malformed", datagram: broken(datagram, random) };
      case 3:
        datagram.fill(1 + random.below(255), toward.at, toward.at + toward.bytes);
        return { why: "stale", datagram };
      case 4: {
        const old = this.#gone.slice(-goneMax).flatMap(({ past }) => past);
        if (old.length > 0) return { why: "stale", datagram: pick(old, random) };
        return { why: "malformed", datagram: datagram.subarray(0, random.below(headerBytes)) };
      }
      default: {
        const body = encode([2, 1_000_000 + random.below(2 ** 31)]);
        return { why: "refused", datagram: Uint8Array.of(...datagram.subarray(0, 32), ...body) };
      }
    }
  }
}

/** A head that is right before a body that is none. */
function broken(datagram: Uint8Array, random: Random): Uint8Array {
  const head = datagram.subarray(0, headerBytes);
  const body = some(datagram.subarray(headerBytes), random, changedBytes);
  try {
    decode(body);
    return Uint8Array.of(...head, 0xff);
  } catch {
    return Uint8Array.of(...head, ...body);
  }
}

export function channelsTarget(random: Random): void {
  const one = new Case(random);
  for (let round = 0; round < 60; round += 1) one.round(false);
  one.end();
}
