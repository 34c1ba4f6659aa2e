/**
 * @module One node through its epochs, among raw datagrams from peers' and strangers' addresses: of
 * several processes of a peer, of other versions, for other processes, with frames and messages of
 * any kind and epoch. Each datagram is in exactly one counter, the life of every epoch goes in
 * order, and what others can make it keep or send stays within its bound.
 */

import { encode, type Wire } from "../../src/protocol/cbor.ts";
import { type Endpoint, goneMax } from "../../src/protocol/channel.ts";
import { headerBytes, writeHeader } from "../../src/protocol/header.ts";
import { answersMax, earlyMax, type HostEffect, Member } from "../../src/protocol/member.ts";
import { toWire } from "../../src/protocol/messages.ts";
import { fromWire } from "../../src/protocol/parse.ts";
import { heldBytesMax } from "../../src/protocol/reliable.ts";
import type { Random } from "../../src/sim/random.ts";
import { effectsMax, hello, life, nodes, ownEvent, vectorsOf, Watch } from "./cluster.ts";
import { changedBytes, changedValue, pick, some } from "./mutate.ts";

const peers = nodes - 1;
const windowFrames = 32;
const partBytes = 1100;
const answerBytesMax = 400;
const endpoints = life.names.map((name) => ({ address: name, port: 7777 }));
const strangers: readonly Endpoint[] = [
  { address: "x", port: 7777 },
  { address: life.names[1] ?? "", port: 1 },
];

/**
 * What there is much of, in percent: new processes of a peer, what no correct one sends, parts
 * without an end, messages of other epochs, strangers before anything is sent again. With little of
 * all a life gets far.
 */
type Temper = {
  readonly fresh: number;
  readonly odd: number;
  readonly endless: number;
  readonly later: number;
  readonly strange: number;
};
const calm: Temper = { fresh: 0, odd: 0, endless: 0, later: 2, strange: 2 };
const tempers: readonly Temper[] = [
  calm,
  calm,
  { ...calm, odd: 5 },
  { ...calm, later: 80 },
  { ...calm, endless: 90 },
  { ...calm, strange: 98 },
  { fresh: 80, odd: 5, endless: 20, later: 20, strange: 10 },
];

/** A process that sends from a peer's address, and the next number of its parts. */
type Sender = { readonly instanceU64: bigint; sequence: number };

class Case {
  readonly #random: Random;
  readonly #temper: Temper;
  readonly #node: number;
  readonly #member: Member;
  readonly #senders: Sender[][] = endpoints.map(() => [{ instanceU64: 3n, sequence: 1 }]);
  #watch = new Watch();
  #epoch = 1;
  #now = 1_000_000_000n;
  #packetU64 = 1n;

  constructor(random: Random) {
    this.#random = random;
    this.#temper = pick(tempers, random);
    this.#node = random.below(2) === 0 ? 0 : nodes - 1;
    const own = { endpoints, instanceU64: 1n, node: this.#node };
    this.#member = new Member({ ...life, ...own }, this.#now);
    this.#take(this.#member.step({ kind: "opened", hello }, this.#now));
  }

  step(): void {
    const random = this.#random;
    this.#now += BigInt(random.below(6_000_000));
    if (random.chance(25)) {
      this.#take(this.#member.step(ownEvent(this.#watch, random), this.#now));
    } else if (random.chance(2) && this.#watch.done.has("run")) {
      const reset = { kind: "end", cause: "reset", code: 0, reason: "reset" } as const;
      this.#take(this.#member.step(reset, this.#now));
    } else this.#datagram();
    this.#kept();
    if (random.chance(100 - this.#temper.strange)) this.#poll();
  }

  #take(effects: readonly HostEffect[]): void {
    // A datagram can complete a window of messages, and an epoch begins with those kept for it.
    const most = effectsMax * (windowFrames + peers * earlyMax);
    if (effects.length > most) throw new Error(`${effects.length} effects`);
    for (const effect of effects) {
      this.#watch.take([effect]);
      if (effect.kind !== "restart") continue;
      this.#epoch = effect.epoch;
      this.#watch = new Watch();
      this.#take(this.#member.restart(this.#epoch, this.#now));
      const own = { ...hello, epoch: this.#epoch };
      this.#take(this.#member.step({ kind: "opened", hello: own }, this.#now));
    }
  }

  #datagram(): void {
    const random = this.#random;
    const from = random.chance(this.#temper.strange)
      ? pick(strangers, random)
      : pick(endpoints, random);
    // Rarely what says to come from this node itself.
    if (from === endpoints[this.#node] && random.chance(80)) return;
    const at = endpoints.indexOf(from);
    const sender = this.#sender(at < 0 ? 0 : at);
    const before = { ...this.#member.counters };
    const effects = this.#member.receive(this.#raw(sender), from, this.#now);
    const grown = (
      ["received", "malformed", "foreign", "stale", "version", "refused"] as const
    ).map((name) => this.#member.counters[name] - before[name]);
    if (grown.reduce((sum, each) => sum + each, 0) !== 1) throw new Error(`counted ${grown}`);
    this.#take(effects);
  }

  /** Mostly the last process of a place, now and then one before it, or a new one. */
  #sender(place: number): Sender {
    const random = this.#random;
    const known = this.#senders[place] ?? [];
    const last = known.at(-1);
    if (last === undefined || random.chance(this.#temper.fresh)) {
      const low = BigInt(random.below(2 ** 31));
      const next = { instanceU64: (low << 32n) | (low + 1n), sequence: 1 };
      known.push(next);
      return next;
    }
    return random.chance(100 - this.#temper.odd) ? last : pick(known, random);
  }

  #raw(sender: Sender): Uint8Array {
    const random = this.#random;
    const body = this.#body(sender);
    const datagram = new Uint8Array(headerBytes + body.length);
    const header = {
      instanceU64: sender.instanceU64,
      toward: random.chance(this.#temper.odd) ? random.below(2 ** 32) : random.below(2),
      source: random.below(256),
      destination: random.below(256),
      packetU64: (this.#packetU64 += 1n),
    };
    writeHeader(header, datagram);
    datagram.set(body, headerBytes);
    const { odd } = this.#temper;
    if (random.chance(odd) && random.chance(20)) datagram[2] = random.below(256);
    return random.chance(odd) ? some(datagram, random, changedBytes) : datagram;
  }

  #body(sender: Sender): Uint8Array {
    const random = this.#random;
    if (random.chance(10)) return encode([2, random.below(random.chance(80) ? 40 : 2 ** 32)]);
    const message = encode(this.#message());
    if (random.chance(20)) return encode([3, message]);
    const { odd, endless } = this.#temper;
    const sequence = sender.sequence + (random.chance(90) ? 0 : random.below(40));
    if (sequence === sender.sequence) sender.sequence += 1;
    const frame: Wire = random.chance(endless)
      ? [1, sequence, 1 + random.below(900), new Uint8Array(partBytes)]
      : [1, sequence, 0, message];
    return encode(random.chance(odd) ? some(frame, random, changedValue) : frame);
  }

  #message(): Wire {
    const random = this.#random;
    const other = random.chance(this.#temper.later) ? pick([-1, 1, 1, 1, 2], random) : 0;
    const epoch = this.#epoch + other;
    if (random.chance(20)) return toWire({ kind: "ready", epoch, stage: random.below(3) });
    if (random.chance(10) && this.#watch.done.has("stop")) return toWire({ kind: "ended", epoch });
    const value = pick(vectorsOf, random);
    const message = fromWire(value);
    const changed = random.chance(2 * this.#temper.odd);
    if (changed || message === undefined || message.kind === "foreign") {
      return some(value, random, changedValue);
    }
    // An end too often would end every life early.
    if (message.kind === "end" && random.chance(97)) return toWire({ kind: "alive" });
    return toWire("epoch" in message ? { ...message, epoch } : message);
  }

  #kept(): void {
    const { early, answers, gone, bytes } = this.#member.kept;
    if (early > earlyMax) throw new Error(`${early} messages for later`);
    if (answers > answersMax) throw new Error(`${answers} answers to strangers`);
    if (gone > goneMax) throw new Error(`${gone} processes that are gone`);
    if (bytes > heldBytesMax) throw new Error(`${bytes} bytes of parts`);
  }

  #poll(): void {
    const own = endpoints[this.#node];
    const toPeers = new Set<Endpoint>(endpoints.filter((endpoint) => endpoint !== own));
    const out = this.#member.poll(this.#now).filter(({ to }) => !toPeers.has(to));
    if (out.length > answersMax) throw new Error(`${out.length} answers to strangers`);
    // One that says to come from here is a stranger's, too.
    for (const { datagram } of out) {
      if (datagram.length > answerBytesMax) throw new Error("a long answer to a stranger");
    }
    if (this.#member.kept.answers > 0) throw new Error("an answer is kept after it was sent");
  }
}

export function memberTarget(random: Random): void {
  const one = new Case(random);
  for (let step = 0; step < 500; step += 1) one.step();
}
