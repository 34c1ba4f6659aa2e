/** @module What others can make a node keep for later, and that the rest is counted. */

import { expect, test } from "bun:test";
import { Channels } from "./channel.ts";
import { headerBytes } from "./header.ts";
import { answersMax, earlyMax, Member } from "./member.ts";

const silenceMs = 2000;
const endpoints = ["a", "b"].map((address) => ({ address, port: 1 }));

function listener(): Member {
  const names = endpoints.map(({ address }) => address);
  const life = { build: "x", silenceMs, joinMs: 60_000, cpuidOf: () => [] };
  return new Member({ node: 0, names, endpoints, instanceU64: 1n, ...life }, 0n);
}

test("a peer is kept no more messages of the next epoch than it has to say", () => {
  const [member, peer] = [listener(), new Channels(1, endpoints, 3n)];
  const epochs = [...Array.from({ length: earlyMax + 2 }, () => 2), 3];
  for (const epoch of epochs) peer.send(0, { kind: "ready", epoch, stage: 1 });
  for (const { datagram } of peer.poll(0n)) member.receive(datagram, endpoints[1]!, 0n);
  expect(member.kept.early).toBe(earlyMax);
  expect(member.counters).toMatchObject({ received: epochs.length, early: 3 });
});

test("strangers get so many answers at once, and then none until those are sent", () => {
  const [member, stranger] = [listener(), new Channels(1, endpoints, 3n)];
  stranger.send(0, { kind: "ready", epoch: 1, stage: 1 });
  const [asked] = stranger.poll(0n);
  const elsewhere = { address: "c", port: 9 };
  for (let count = 0; count < answersMax + 5; count += 1) {
    expect(member.receive(asked!.datagram, elsewhere, 0n)).toEqual([]);
  }
  expect(member.counters.foreign).toBe(answersMax + 5);
  const answers = member.poll(0n).filter(({ to }) => to === elsewhere);
  expect(answers.length).toBe(answersMax);
  expect(answers.every(({ datagram }) => datagram.length > headerBytes)).toBe(true);
  expect(member.kept.answers).toBe(0);
});

test("what a console says of itself is heard between two epochs, too", () => {
  const [member, peer] = [listener(), new Channels(1, endpoints, 3n)];
  const heard = () =>
    peer.poll(0n).flatMap(({ datagram }) => member.receive(datagram, endpoints[1]!, 0n));
  member.step({ kind: "end", cause: "reset", code: 0, reason: "x" }, 0n);
  member.step({ kind: "stopped" }, 0n);
  peer.send(0, { kind: "ended", epoch: 1 });
  // Not before the peer knows that this node has stopped.
  expect(heard()).toEqual([]);
  for (const { datagram } of member.poll(0n)) peer.receive(datagram, endpoints[0]!);
  expect(heard()).toContainEqual({ kind: "restart", epoch: 2 });
  peer.send(0, { kind: "console-hold", hold: false });
  expect(heard()).toEqual([{ kind: "console-hold", hold: false }]);
  const input = { kind: "input", bytes: Uint8Array.of(1) } as const;
  peer.send(0, input);
  peer.send(0, { kind: "input-taken" });
  expect(heard()).toEqual([input, { kind: "input-taken" }]);
});

/** It has stopped for a restart, and its peer acknowledges nothing. */
function waiting(): Member {
  const [member, peer] = [listener(), new Channels(1, endpoints, 3n)];
  member.step({ kind: "end", cause: "reset", code: 0, reason: "x" }, 0n);
  member.step({ kind: "stopped" }, 0n);
  peer.send(0, { kind: "ended", epoch: 1 });
  for (const { datagram } of peer.poll(0n)) member.receive(datagram, endpoints[1]!, 0n);
  return member;
}

test("a peer that acknowledges nothing holds up a restart for 10 s, no longer", () => {
  const member = waiting();
  const limitNsU64 = 10_000_000_000n;
  expect(member.step({ kind: "tick" }, limitNsU64 - 1n)).toEqual([]);
  expect(member.step({ kind: "tick" }, limitNsU64)).toEqual([{ kind: "restart", epoch: 2 }]);
  expect(member.step({ kind: "tick" }, limitNsU64)).toEqual([]);
});

test("it holds up an end that is wanted meanwhile for the silence only", () => {
  const member = waiting();
  const end = { kind: "end", cause: "signal", code: 143, reason: "SIGTERM" } as const;
  const limitNsU64 = BigInt(silenceMs) * 1_000_000n;
  expect(member.step(end, limitNsU64 - 1n)).toEqual([]);
  expect(member.step({ kind: "tick" }, limitNsU64)).toEqual([{ kind: "restart", epoch: 2 }]);
});
