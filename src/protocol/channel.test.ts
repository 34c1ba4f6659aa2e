/** @module Channels: who a datagram is from and whom it is for, over restarts and strangers. */

import { describe, expect, test } from "bun:test";
import { Channels, type Counters, type Endpoint } from "./channel.ts";
import { decode, encode, type Wire } from "./cbor.ts";
import { headerBytes, writeHeader } from "./header.ts";
import type { ControlMessage } from "./messages.ts";

const places = [0, 1, 2].map((node) => ({ address: `h${node}`, port: 7777 }));

function channels(node: number, instanceU64: bigint, order = places): Channels {
  return new Channels(node, order, instanceU64);
}

function ready(stage: number): ControlMessage {
  return { kind: "ready", epoch: 1, stage };
}

/** Everything `from` has to say to `to` now. */
function datagrams(from: Channels, to: number, nowNsU64 = 0n): readonly Uint8Array[] {
  return from
    .poll(nowNsU64)
    .filter((out) => out.to === places[to])
    .map((out) => out.datagram);
}

function heard(by: Channels, from: number, list: readonly Uint8Array[]) {
  const arrivals = list.map((datagram) => by.receive(datagram, places[from]!));
  return {
    kinds: arrivals.map(({ kind }) => kind),
    restarted: arrivals.some((one) => one.kind === "heard" && one.restarted),
    messages: arrivals.flatMap((one) => (one.kind === "heard" ? one.messages : [])),
  };
}

describe("a process that was started again", () => {
  test("is another sender from its first frame, and gets everything from the start", () => {
    const [a, before, after] = [channels(0, 1n), channels(1, 3n), channels(1, 5n)];
    before.send(0, ready(1));
    expect(heard(a, 1, datagrams(before, 0)).messages).toEqual([ready(1)]);
    after.send(0, ready(2));
    const second = heard(a, 1, datagrams(after, 0));
    expect([second.restarted, second.messages]).toEqual([true, [ready(2)]]);
    a.send(1, ready(1));
    expect(heard(after, 0, datagrams(a, 1)).messages).toEqual([ready(1)]);
  });

  test("takes nothing that was meant for the one before", () => {
    const [a, before, after] = [channels(0, 1n), channels(1, 3n), channels(1, 5n)];
    before.send(0, ready(1));
    heard(a, 1, datagrams(before, 0));
    a.send(1, ready(2));
    const late = datagrams(a, 1);
    expect(late.length).toBeGreaterThan(0);
    expect(new Set(heard(after, 0, late).kinds)).toEqual(new Set(["nothing"]));
  });

  test("is not taken for the one before when a datagram of that one is late", () => {
    const [a, before, after] = [channels(0, 1n), channels(1, 3n), channels(1, 5n)];
    before.send(0, ready(1));
    const late = datagrams(before, 0);
    heard(a, 1, late);
    after.send(0, ready(2));
    heard(a, 1, datagrams(after, 0));
    expect(heard(a, 1, late)).toEqual({ kinds: ["nothing"], restarted: false, messages: [] });
    after.send(0, ready(1));
    expect(heard(a, 1, datagrams(after, 0)).restarted).toBe(false);
  });

  test("is not believed in for a datagram that makes no sense", () => {
    const [a, before, other] = [channels(0, 1n), channels(1, 3n), channels(1, 5n)];
    before.send(0, ready(1));
    heard(a, 1, datagrams(before, 0));
    other.send(0, ready(2));
    const [broken] = datagrams(other, 0).map((datagram) => datagram.slice(0, -1));
    expect(heard(a, 1, [broken!]).kinds).toEqual(["nothing"]);
    before.send(0, ready(2));
    const next = heard(a, 1, datagrams(before, 0));
    expect([next.restarted, next.messages]).toEqual([false, [ready(2)]]);
  });
});

describe("addresses", () => {
  test("say who it is, whatever number the sender gives itself", () => {
    const a = channels(0, 1n);
    const reversed = channels(0, 3n, places.toReversed());
    reversed.send(2, ready(1));
    const [out] = reversed.poll(0n);
    expect(out!.to).toEqual(places[0]!);
    expect(a.receive(out!.datagram, places[2]!)).toMatchObject({ kind: "heard", from: 2 });
  });

  test("of nobody get one answer to what waits for one, and none to that answer", () => {
    const [a, stranger] = [channels(0, 1n), channels(1, 3n)];
    const elsewhere = { address: "h9", port: 1 };
    stranger.send(0, ready(1));
    const [asked] = datagrams(stranger, 0);
    const arrival = a.receive(asked!, elsewhere);
    if (arrival.kind !== "stranger") throw new Error(arrival.kind);
    const answer = arrival.answer("go away", 4);
    const [kind, body] = decode(answer.subarray(headerBytes)) as readonly Wire[];
    expect([kind, decode(body as Uint8Array)]).toEqual([3, [69, 0, 6, 4, "go away"]]);
    expect(a.receive(answer, elsewhere).kind).toBe("nothing");
    expect(heard(stranger, 0, [answer]).messages).toEqual([
      { kind: "end", epoch: 0, cause: "failed", code: 4, reason: "go away" },
    ]);
    stranger.sendOnce(0, { kind: "alive" });
    expect(a.receive(datagrams(stranger, 0)[0]!, elsewhere).kind).toBe("nothing");
  });

  test("of a peer tell of another version; a stranger's version does not matter", () => {
    const [a, b] = [channels(0, 1n), channels(1, 3n)];
    b.send(0, ready(1));
    const [datagram] = datagrams(b, 0);
    datagram![2] = 7;
    expect(a.receive(datagram!, places[1]!)).toEqual({ kind: "version", from: 1, version: 7 });
    expect(a.receive(datagram!, { address: "h9", port: 7777 }).kind).toBe("nothing");
  });
});

const stranger = { address: "h9", port: 1 };
const good = { instanceU64: 5n, toward: 1, source: 1, destination: 0, packetU64: 1n };
const once = [3, encode([73])];

function raw(frame: Wire | Uint8Array, changes: Partial<typeof good> = {}): Uint8Array {
  const body = frame instanceof Uint8Array ? frame : encode(frame);
  const datagram = new Uint8Array(headerBytes + body.length);
  writeHeader({ ...good, ...changes }, datagram);
  datagram.set(body, headerBytes);
  return datagram;
}

function poked(at: number, value: number): Uint8Array {
  const datagram = raw(once);
  datagram[at] = value;
  return datagram;
}

/** Node 0, which has heard instances 3 and 5 of node 1. */
function listener(): Channels {
  const a = channels(0, 1n);
  for (const instanceU64 of [3n, 5n]) a.receive(raw(once, { instanceU64 }), places[1]!);
  return a;
}

/** Every way to be dropped: a datagram, from a peer if nothing else is said, and its counter. */
const dropped: readonly (readonly [string, Uint8Array, keyof Counters, Endpoint?])[] = [
  ["shorter than a head", raw(once).subarray(0, headerBytes - 1), "malformed"],
  ["of another magic", poked(0, 0), "malformed"],
  ["of the other plane", poked(3, 1), "malformed"],
  ["of another key", poked(7, 1), "malformed"],
  ["without an instance", raw(once, { instanceU64: 0n }), "malformed"],
  ["without a body", raw(new Uint8Array()), "malformed"],
  ["with a body that is no frame", raw([9, 1]), "malformed"],
  ["with more than a frame", raw(Uint8Array.of(...encode(once), 0)), "malformed"],
  ["of another version", poked(2, 7), "version"],
  ["of another version, from nobody", poked(2, 7), "version", stranger],
  ["malformed, from nobody", poked(0, 0), "malformed", stranger],
  ["of nobody", raw(once), "foreign", stranger],
  ["of a peer's address at another port", raw(once), "foreign", { ...places[1]!, port: 1 }],
  ["of this node itself", raw(once), "foreign", places[0]!],
  ["for the process before", raw(once, { toward: 3 }), "stale"],
  ["of the process before", raw(once, { instanceU64: 3n }), "stale"],
  ["that acknowledges what was never sent", raw([2, 1]), "refused"],
  ["of a part beyond the window", raw([1, 33, 0, Uint8Array.of(1)]), "refused"],
  ["of a part longer than any", raw([1, 1, 0, new Uint8Array(1101)]), "refused"],
  ["of a message longer than any", raw([1, 1, 5000, new Uint8Array(1)]), "refused"],
];

describe("what is dropped is counted by its reason, and changes nothing else:", () => {
  for (const [name, datagram, counter, from = places[1]!] of dropped) {
    test(`a datagram ${name}`, () => {
      const a = listener();
      const before = { ...a.counters };
      expect(a.receive(datagram, from)).not.toMatchObject({ kind: "heard" });
      expect(a.counters).toEqual({ ...before, [counter]: before[counter] + 1 });
      expect(a.poll(0n)).toEqual([]);
      expect(a.receive(raw(once), places[1]!)).toMatchObject({ kind: "heard", restarted: false });
    });
  }

  test("a message that cannot be read, within a datagram that can", () => {
    const a = listener();
    for (const bytes of [Uint8Array.of(0xff), encode([73, 1]), encode([1000])]) {
      const before = { ...a.counters };
      const arrival = a.receive(raw([3, bytes]), places[1]!);
      expect(arrival).toMatchObject({ kind: "heard", messages: [] });
      const { received, unreadable } = before;
      const after = { received: received + 1, unreadable: unreadable + 1 };
      expect(a.counters).toEqual({ ...before, ...after });
    }
  });
});

test("packet numbers are never used twice", () => {
  const a = channels(0, 1n);
  a.send(1, ready(1));
  const seen = [0n, 60n, 200n, 500n].flatMap((ms) =>
    datagrams(a, 1, ms * 1_000_000n).map((datagram) => {
      return new DataView(datagram.buffer, datagram.byteOffset).getBigUint64(24);
    }),
  );
  expect(seen).toEqual([1n, 2n, 3n, 4n]);
});

test("a peer that was never heard does not keep this node from being idle", () => {
  const [a, b] = [channels(0, 1n), channels(1, 3n)];
  for (const to of [1, 2]) a.send(to, ready(1));
  expect(a.idle).toBe(true);
  b.send(0, ready(1));
  heard(a, 1, datagrams(b, 0));
  expect(a.idle).toBe(false);
  heard(b, 0, datagrams(a, 1));
  heard(a, 1, datagrams(b, 0));
  expect(a.idle).toBe(true);
  expect(a.waiting(2)).toBe(1);
});
