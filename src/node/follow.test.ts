/** @module What the follower asks of the data plane and of its peer. One tick is a nanosecond. */

import { expect, test } from "bun:test";
import type { TscPing, TscPong } from "../protocol/messages.ts";
import type { DataPlane, TscReading } from "./dataplane.ts";
import { TscFollower } from "./follow.ts";

const epoch = 3;
const ms = 1_000_000n;

/** Node 1 of 2, its data plane scripted; not started. */
function follower() {
  const sent: (TscPing | TscPong)[] = [];
  const advanced: [bigint, bigint][] = [];
  const infos: string[] = [];
  const warnings: string[] = [];
  const state = {
    now: { countU64: 0n, advancedU64: 0n } as TscReading,
    answer: "begun" as ReturnType<DataPlane["advanceTsc"]>,
    open: true,
  };
  const dataPlane: Pick<DataPlane, "tsc" | "advanceTsc"> = {
    tsc: () => state.now,
    advanceTsc: (fromU64, ticksU64) => {
      advanced.push([fromU64, ticksU64]);
      return state.answer;
    },
  };
  const tsc = new TscFollower({
    node: 1,
    names: ["a:1", "b:2"],
    dataPlane: () => (state.open ? dataPlane : undefined),
    sendOnce: (to, message) => {
      expect(to).toBe(0);
      sent.push(message);
    },
    info: (text) => infos.push(text),
    warn: (text) => warnings.push(text),
  });
  const at = (countU64: bigint, advancedU64 = 0n) => (state.now = { countU64, advancedU64 });
  return { tsc, state, sent, advanced, infos, warnings, at };
}

/** Node 0's answer to what was asked at `sentU64`: it is 3 ms ahead; the ways take 10 us each. */
function pong(sentU64: bigint): TscPong {
  const countU64 = sentU64 + 10_000n + 3n * ms;
  return { kind: "tsc-pong", epoch, sentU64, countU64, advancedU64: 0n };
}

test("nobody is asked or answered before the guest runs and after it has ended", () => {
  const { tsc, state, sent, at } = follower();
  const ping = { kind: "tsc-ping", epoch, sentU64: 1n } as const;
  const all = () => {
    tsc.arrived();
    tsc.message(0, ping);
    tsc.tick();
    return tsc.counters();
  };
  expect(all()).toEqual({});
  state.open = false;
  tsc.start(epoch, 1_000_000);
  state.open = true;
  all();
  expect(sent).toEqual([]);

  tsc.start(epoch, 1_000_000);
  at(7n);
  all();
  expect(sent).toEqual([
    { kind: "tsc-pong", epoch, sentU64: 1n, countU64: 7n, advancedU64: 0n },
    { kind: "tsc-ping", epoch, sentU64: 7n },
  ]);
  // Between two epochs.
  state.open = false;
  expect(all()).toEqual({});
  state.open = true;
  tsc.stop();
  at(1000n * ms);
  expect(all()).toEqual({});
  expect(sent.length).toBe(2);
});

test("an answer counts from when it came, a question is answered as late as can be", () => {
  const { tsc, sent, at } = follower();
  tsc.start(epoch, 1_000_000);
  at(60n * ms + 20_000n);
  tsc.arrived();
  // So long it took to come to it.
  at(90n * ms);
  tsc.message(0, { kind: "tsc-ping", epoch, sentU64: 5n });
  expect(sent).toEqual([
    { kind: "tsc-pong", epoch, sentU64: 5n, countU64: 90n * ms, advancedU64: 0n },
  ]);
  tsc.message(0, pong(60n * ms));
  // The round trip and what the rates may have done since, far from the 30 ms it waited.
  const { tscBoundNs } = tsc.counters();
  expect(Number(tscBoundNs)).toBeGreaterThan(3_000_000);
  expect(Number(tscBoundNs)).toBeLessThan(3_100_000);
});

test("who is behind steps, and is told of it once it was made", () => {
  const { tsc, advanced, infos, warnings, at } = follower();
  tsc.start(epoch, 1_000_000);
  at(60n * ms + 20_000n);
  tsc.arrived();
  tsc.message(0, pong(60n * ms));
  tsc.tick();
  expect(advanced).toEqual([[0n, 30_010n]]);
  expect(infos).toEqual([]);
  at(120n * ms, 30_010n);
  tsc.tick();
  expect(infos).toEqual([
    expect.stringContaining("advanced by 30.0 us in 1 step to follow node 0"),
  ]);
  expect(advanced.length).toBe(2);
  expect(advanced[1]?.[0]).toBe(30_010n);
  expect(warnings).toEqual([]);
});

test("a data plane that is busy is asked again, one that cannot is not, with a warning", () => {
  const { tsc, state, advanced, warnings, at } = follower();
  tsc.start(epoch, 1_000_000);
  at(60n * ms + 20_000n);
  tsc.arrived();
  tsc.message(0, pong(60n * ms));
  state.answer = "busy";
  tsc.tick();
  state.answer = "cannot";
  at(120n * ms);
  tsc.tick();
  expect(advanced.length).toBe(2);
  expect(warnings).toEqual([expect.stringContaining("behind that of node 0 (a:1) and cannot")]);
  at(180n * ms);
  tsc.tick();
  expect(advanced.length).toBe(2);
  expect(warnings.length).toBe(1);
});
