/** @module Channels: who a datagram is from and whom it is for, over restarts and strangers. */

import { describe, expect, test } from "bun:test";
import { Channels } from "./channel.ts";
import { decode, type Wire } from "./cbor.ts";
import { headerBytes } from "./header.ts";
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
