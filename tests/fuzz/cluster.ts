/**
 * @module One node's cluster machine among peers that say anything that can be said, between its
 * own events. It never throws, does each thing of a life once and in order, and answers a message
 * with a bounded number of effects.
 */

import vectors from "../../native/zig/wire/vectors.json";
import { cpuidTable } from "../../src/machine/cpuid.ts";
import { decode } from "../../src/protocol/cbor.ts";
import { Cluster, type Effect, type Event } from "../../src/protocol/cluster.ts";
import type { Hello } from "../../src/protocol/messages.ts";
import { fromWire } from "../../src/protocol/parse.ts";
import type { Random } from "../../src/sim/random.ts";
import { changedValue, pick, some } from "./mutate.ts";

export const nodes = 3;
export const effectsMax = 4 * nodes;
const u64Max = (1n << 64n) - 1n;
export const vectorsOf = vectors.control.map(({ hex }) =>
  decode(new Uint8Array(Buffer.from(hex, "hex"))),
);

function ownHello(): Hello {
  for (const value of vectorsOf) {
    const message = fromWire(value);
    if (message?.kind === "hello") return message;
  }
  throw new Error("there is no vector of a Hello");
}

export const hello = { ...ownHello(), epoch: 1 };
const order = ["configure", "load", "run", "stop"] as const;

/** What a node of a cluster is told, beside its number and the epoch. */
export const life = {
  names: ["a", "b", "c"],
  build: "1",
  silenceMs: 2000,
  joinMs: 60_000,
  cpuidOf: (hellos: readonly Hello[]) =>
    cpuidTable({ hosts: hellos.map((each) => each.facts), nodes: hellos, hide: [] }),
};

export class Watch {
  readonly done = new Set<string>();
  over = false;

  take(effects: readonly Effect[]): void {
    // Signs of life until the next epoch are none.
    const late = this.over && effects.some(({ kind }) => kind !== "send-once");
    if (late) throw new Error("an effect after the end");
    if (effects.length > effectsMax) throw new Error(`${effects.length} effects of one event`);
    for (const effect of effects) this.#one(effect);
  }

  #one(effect: Effect): void {
    if (effect.kind === "finish" || effect.kind === "restart") this.over = true;
    const at = order.findIndex((kind) => kind === effect.kind);
    if (at < 0) return;
    if (this.done.has(effect.kind)) throw new Error(`${effect.kind} twice`);
    this.done.add(effect.kind);
    for (const before of order.slice(0, at)) {
      // It may end before it has begun.
      if (effect.kind !== "stop" && !this.done.has(before)) throw new Error(`no ${before} before`);
    }
    if (effect.kind === "run" && (effect.tscZeroNsU64 < 0n || effect.tscZeroNsU64 > u64Max)) {
      throw new Error("a start outside of time");
    }
    if (effect.kind === "configure") {
      const pages = effect.hellos.reduce((sum, each) => sum + each.ramPages, 0);
      if (pages > 0xffff_ffff) throw new Error("more memory than there are page numbers");
    }
  }
}

export function ownEvent(watch: Watch, random: Random): Event {
  const events: Event[] = [{ kind: "tick" }];
  if (watch.done.has("configure")) events.push({ kind: "configured" });
  if (watch.done.has("load")) events.push({ kind: "loaded" });
  if (watch.done.has("stop")) events.push({ kind: "stopped" });
  return pick(events, random);
}

function peerEvent(random: Random): Event | undefined {
  if (random.chance(25)) {
    const message = { kind: "ready", epoch: 1, stage: random.below(3) } as const;
    return { kind: "message", from: 1 + random.below(nodes - 1), message };
  }
  const value = pick(vectorsOf, random);
  const message = fromWire(random.chance(60) ? some(value, random, changedValue) : value);
  if (message === undefined) return undefined;
  const from = 1 + random.below(nodes - 1);
  // Most of them of this epoch, or the machine would never get anywhere.
  const now = "epoch" in message && random.chance(90) ? { ...message, epoch: 1 } : message;
  return { kind: "message", from, message: now };
}

export function clusterTarget(random: Random): void {
  const node = random.below(2) === 0 ? 0 : nodes - 1;
  let now = 1_000_000_000n;
  const cluster = new Cluster({ ...life, node, epoch: 1 }, now);
  const watch = new Watch();
  watch.take(cluster.step({ kind: "opened", hello }, now));
  for (let step = 0; step < 150; step += 1) {
    now += BigInt(random.below(6_000_000));
    const event = random.chance(35) ? ownEvent(watch, random) : peerEvent(random);
    if (event === undefined) continue;
    const moved = event.kind === "message" && event.from === node ? { ...event, from: 0 } : event;
    watch.take(cluster.step(moved, now));
  }
}
