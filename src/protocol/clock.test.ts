/** @module The clock of another host: the shortest round trip wins, half of it is the bound. */

import { expect, test } from "bun:test";
import { Random } from "../sim/random.ts";
import { ClockProbe } from "./clock.ts";

test("no sample, no offset", () => {
  expect(new ClockProbe().best).toBeUndefined();
});

test("the shortest round trip counts, before and after longer ones", () => {
  const probe = new ClockProbe();
  probe.add(1000n, 51_000n, 3000n);
  probe.add(10_000n, 60_050n, 10_100n);
  probe.add(20_000n, 79_000n, 40_000n);
  expect(probe.best).toEqual({ offsetNs: 50_000n, boundNs: 51n });
  expect(probe.samples).toBe(3);
});

test("an answer from before its question is none", () => {
  const probe = new ClockProbe();
  probe.add(2000n, 5000n, 1000n);
  expect([probe.samples, probe.best]).toEqual([0, undefined]);
});

test("the true offset is always within the bound, however lopsided the ways", () => {
  for (let seed = 1; seed <= 50; seed += 1) {
    const random = new Random(seed);
    const truth = BigInt(random.below(1e9)) - 500_000_000n;
    const probe = new ClockProbe();
    let now = 1_000_000_000n;
    for (let i = 0; i < 100; i += 1) {
      const [there, back] = [BigInt(random.below(1e6)), BigInt(random.below(5e6))];
      probe.add(now, now + there + truth, now + there + back);
      now += there + back;
    }
    const { offsetNs, boundNs } = probe.best!;
    const error = offsetNs > truth ? offsetNs - truth : truth - offsetNs;
    expect(error <= boundNs).toBe(true);
  }
});

test("a bad bound does only after many samples, a good one after some", () => {
  const probe = new ClockProbe();
  for (let sample = 0; sample < 199; sample += 1) probe.add(0n, 0n, 10_000_000n);
  expect(probe.settled).toBeUndefined();
  probe.add(0n, 0n, 10_000_000n);
  expect(probe.settled?.boundNs).toBe(5_000_001n);
  const quick = new ClockProbe();
  for (let sample = 0; sample < 23; sample += 1) quick.add(0n, 0n, 1_000n);
  expect(quick.settled).toBeUndefined();
  quick.add(0n, 0n, 1_000n);
  expect(quick.settled?.boundNs).toBe(501n);
});
