/** @module One node that follows the fastest TSC. One tick is a nanosecond. */

import { expect, test } from "bun:test";
import { Drift, type DriftEffect, type Reading } from "./drift.ts";

const ms = 1_000_000n;
const tscKhz = 1_000_000;

function at(count: bigint, advanced = 0n): Reading {
  return { countU64: count, advancedU64: advanced };
}

function driftOf(nodes = 2, node = 1): Drift {
  const names = Array.from({ length: nodes }, (_, index) => `n${index}`);
  return new Drift({ node, names, epoch: 3, tscKhz }, at(0n));
}

function of<K extends DriftEffect["kind"]>(effects: readonly DriftEffect[], kind: K) {
  return effects.filter((effect) => effect.kind === kind) as Extract<DriftEffect, { kind: K }>[];
}

/** An answer of node `from`, whose TSC is `ahead`; the ways take 10 us each. */
function answer(drift: Drift, now: Reading, ahead: bigint, from = 0, advancedU64 = 0n) {
  const sentU64 = now.countU64 - 20_000n;
  const countU64 = now.countU64 - 10_000n + now.advancedU64 + ahead - advancedU64;
  const message = { kind: "tsc-pong", epoch: 3, sentU64, countU64, advancedU64 } as const;
  return drift.step({ kind: "message", from, message }, now);
}

test("peers are asked in turn, five times a second each", () => {
  const drift = driftOf(3, 1);
  const asked: [number, bigint][] = [];
  for (let time = 0n; time < 1000n * ms; time += 5n * ms) {
    for (const { to, message } of of(drift.step({ kind: "tick" }, at(time)), "send")) {
      expect(message).toEqual({ kind: "tsc-ping", epoch: 3, sentU64: time });
      asked.push([to, time]);
    }
  }
  expect(asked.map(([to]) => to)).toEqual(asked.map((_, index) => (index % 2 === 0 ? 0 : 2)));
  expect(asked.length).toBe(10);
});

test("many peers are asked a hundred times a second in all", () => {
  const drift = driftOf(64, 0);
  let count = 0;
  for (let time = 0n; time < 1000n * ms; time += 5n * ms) {
    count += of(drift.step({ kind: "tick" }, at(time)), "send").length;
  }
  expect(count).toBe(100);
});

test("a question is answered by this moment's reading, one of another epoch is not", () => {
  const drift = driftOf();
  const ping = { kind: "tsc-ping", epoch: 3, sentU64: 77n } as const;
  const asked = { kind: "message", from: 0, message: ping } as const;
  expect(drift.step(asked, at(900n, 8n))).toEqual([
    {
      kind: "send",
      to: 0,
      message: { kind: "tsc-pong", epoch: 3, sentU64: 77n, countU64: 900n, advancedU64: 8n },
    },
  ]);
  expect(drift.step({ ...asked, message: { ...ping, epoch: 2 } }, at(901n))).toEqual([]);
});

test("who is certainly behind steps, by no more than that", () => {
  const drift = driftOf();
  drift.step({ kind: "tick" }, at(0n));
  const now = at(60n * ms, 0n);
  // 15 us ahead, of which the way back may be 20.
  answer(drift, now, 15_000n);
  expect(of(drift.step({ kind: "tick" }, now), "advance")).toEqual([]);
  const later = at(120n * ms, 0n);
  answer(drift, later, 34_000n);
  const [step] = of(drift.step({ kind: "tick" }, later), "advance");
  expect(step?.fromU64).toBe(0n);
  expect(Number(step?.ticksU64)).toBeGreaterThan(5_000);
  expect(Number(step?.ticksU64)).toBeLessThanOrEqual(24_000);
});

test("a step is no longer than a rate of 500 ppm makes it", () => {
  const drift = driftOf();
  answer(drift, at(60n * ms), 3_000_000n);
  const [step] = of(drift.step({ kind: "tick" }, at(60n * ms)), "advance");
  expect(step).toEqual({ kind: "advance", fromU64: 0n, ticksU64: 30_000n });
  // Asked for again from what is so then, when the next look is due.
  expect(of(drift.step({ kind: "tick" }, at(65n * ms)), "advance")).toEqual([]);
  const [next] = of(drift.step({ kind: "tick" }, at(112n * ms, 30_000n)), "advance");
  expect(next).toEqual({ kind: "advance", fromU64: 30_000n, ticksU64: 26_000n });
  // It was not made, and is made up for.
  const [again] = of(drift.step({ kind: "tick" }, at(172n * ms, 30_000n)), "advance");
  expect(again).toEqual({ kind: "advance", fromU64: 30_000n, ticksU64: 56_000n });
  const [most] = of(drift.step({ kind: "tick" }, at(672n * ms, 30_000n)), "advance");
  expect(most?.ticksU64).toBe(100_000n);
});

test("nobody steps for peers that are behind, or that stepped towards it", () => {
  const drift = driftOf(3, 1);
  answer(drift, at(60n * ms, 90_000n), -500_000n, 0);
  answer(drift, at(61n * ms, 90_000n), 0n, 2, 70_000n);
  expect(of(drift.step({ kind: "tick" }, at(62n * ms, 90_000n)), "advance")).toEqual([]);
});

test("the bound covers all peers and a step that may be made; unknown before all answered", () => {
  const drift = driftOf(3, 1);
  answer(drift, at(60n * ms), 400_000n, 0);
  expect(drift.report(at(60n * ms))).toBeUndefined();
  answer(drift, at(60n * ms), -900_000n, 2);
  const before = drift.report(at(60n * ms))!.boundNs;
  expect(before).toBeGreaterThan(900_000);
  expect(before).toBeLessThan(930_000);
  drift.step({ kind: "tick" }, at(60n * ms));
  expect(drift.report(at(60n * ms))!.boundNs).toBe(before + 30_000);
  // Not made: it is not made later.
  expect(drift.report(at(72n * ms))!.boundNs).toBeLessThan(before + 30_000);
});

test("steps are told, the first at once and then together", () => {
  const drift = driftOf();
  const lines: string[] = [];
  for (let look = 0n; look < 300n; look += 1n) {
    const now = at(look * 51n * ms, look * 6_000n);
    answer(drift, now, 100_000n);
    lines.push(...of(drift.step({ kind: "tick" }, now), "info").map(({ text }) => text));
  }
  expect(lines.length).toBe(2);
  expect(lines[0]).toMatch(
    /^the guest's clock was advanced by 6\.0 us in 1 step to follow node 0 \(n0\); rates differ/,
  );
  expect(lines[1]).toMatch(/^the guest's clock was advanced by 1\d{3}\.0 us in \d+ steps to foll/);
});

test("a host that changes no offset is told of once and never asked again", () => {
  const drift = driftOf();
  answer(drift, at(60n * ms), 3_000_000n);
  expect(of(drift.step({ kind: "tick" }, at(60n * ms)), "advance").length).toBe(1);
  const told = of(drift.step({ kind: "cannot" }, at(60n * ms)), "warn");
  expect(told.map(({ text }) => text)).toEqual([
    expect.stringMatching(
      /^the guest's clock here is at least 29\d\d\.\d us behind that of node 0 /,
    ),
  ]);
  expect(drift.step({ kind: "cannot" }, at(61n * ms))).toEqual([]);
  answer(drift, at(160n * ms), 3_000_000n);
  expect(of(drift.step({ kind: "tick" }, at(160n * ms)), "advance")).toEqual([]);
});

test("one node alone asks nobody and agrees with itself", () => {
  const drift = driftOf(1, 0);
  expect(drift.step({ kind: "tick" }, at(500n * ms))).toEqual([]);
  expect(drift.report(at(500n * ms))).toEqual({ boundNs: 0, ratePpb: 0 });
});
