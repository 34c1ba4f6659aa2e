/** @module Bounds of the difference of two counters, from round trips. One tick is a nanosecond. */

import { expect, test } from "bun:test";
import { Random } from "../sim/random.ts";
import { rateMax, Skew } from "./skew.ts";

const second = 1_000_000_000;
const secondU64 = BigInt(second);

test("nothing is known before the first answer", () => {
  expect(new Skew(second).estimate(5n)).toBeUndefined();
});

test("one round trip bounds the difference by its length, and any rate as time goes on", () => {
  const skew = new Skew(second);
  expect(skew.add(1000n, 50_000n, 3000n)).toBe(0);
  const slack = 2000 * rateMax + 1;
  expect(skew.estimate(3000n)).toEqual({
    low: 47_000 - slack,
    high: 49_000 + slack,
    slow: -rateMax,
    fast: rateMax,
  });
  const later = skew.estimate(3000n + secondU64);
  expect(later?.high).toBeCloseTo(49_000 + slack + 500_000, 3);
  expect(later?.low).toBeCloseTo(47_000 - slack - 500_000, 3);
});

test("round trips that are no answers, or took too long, say nothing", () => {
  const skew = new Skew(second);
  expect(skew.add(3000n, 50_000n, 1000n)).toBe(0);
  expect(skew.add(0n, 50_000n, 2n * secondU64)).toBe(0);
  expect(skew.estimate(3n * secondU64)).toBeUndefined();
});

/** The peer runs `ppm` faster and is `ahead`; ways are `there` and `back`. */
function ask(skew: Skew, at: number, ahead: number, ppm: number, there: number, back: number) {
  const answered = at + there;
  const peer = Math.round(ahead + answered * (1 + ppm * 1e-6));
  return skew.add(BigInt(at), BigInt(peer), BigInt(answered + back));
}

test("the rate follows from answers some time apart, and what is old stays useful by it", () => {
  const skew = new Skew(second);
  for (let at = 0; at < 10 * second; at += second / 4) ask(skew, at, 7000, 80, 20_000, 30_000);
  const found = skew.estimate(BigInt(12 * second))!;
  expect(found.slow).toBeGreaterThan(70e-6);
  expect(found.fast).toBeLessThan(90e-6);
  const truth = 7000 + 12 * second * 80e-6;
  expect(found.low).toBeLessThan(truth);
  expect(found.high).toBeGreaterThan(truth);
  expect(found.high - found.low).toBeLessThan(100_000);
});

test("the shortest round trip of a second is the one that counts", () => {
  const skew = new Skew(second);
  ask(skew, 1000, 500, 0, 90_000, 90_000);
  ask(skew, 300_000, 500, 0, 100, 100);
  ask(skew, 600_000, 500, 0, 50_000, 10_000);
  const { low, high } = skew.estimate(700_000n)!;
  expect(high - low).toBeLessThan(800);
});

test("a jump is told by what it is at least, and forgets what was", () => {
  const skew = new Skew(second);
  for (let at = 0; at < 3 * second; at += second / 2) ask(skew, at, 0, 0, 1000, 1000);
  const jump = ask(skew, 3 * second, 10_000_000, 0, 1000, 1000);
  expect(jump).toBeGreaterThan(9_000_000);
  expect(jump).toBeLessThan(10_000_000);
  expect(skew.estimate(BigInt(3 * second + 2000))!.low).toBeGreaterThan(9_990_000);
  expect(ask(skew, 4 * second, 0, 0, 1000, 1000)).toBeGreaterThan(9_000_000);
});

test("counters that wrap, and are of other sizes, differ as they should", () => {
  const skew = new Skew(second);
  const most = (1n << 64n) - 1n;
  skew.add(most - 500n, 300n, 499n);
  expect(skew.estimate(499n)!.high).toBeGreaterThan(800);
  expect(skew.estimate(499n)!.low).toBeLessThan(300 - 499);
  const far = new Skew(second);
  far.add(10n, 1n << 62n, 20n);
  expect(far.estimate(20n)!.low).toBeCloseTo(2 ** 62, -4);
});

test("the truth is never outside, whatever the ways", () => {
  for (let seed = 1; seed <= 40; seed += 1) {
    const random = new Random(seed);
    const [ahead, ppm] = [random.below(1e7) - 5e6, random.below(800) - 400];
    const skew = new Skew(second);
    for (let at = 0; at < 30 * second; at += 1 + random.below(second / 4)) {
      expect(ask(skew, at, ahead, ppm, random.below(3e5), random.below(5e6))).toBe(0);
      const now = at + 6_000_000 + random.below(second);
      const truth = ahead + now * ppm * 1e-6;
      const { low, high, slow, fast } = skew.estimate(BigInt(now))!;
      expect([seed, low <= truth + 1, high >= truth - 1]).toEqual([seed, true, true]);
      expect([seed, slow <= ppm * 1e-6, fast >= ppm * 1e-6]).toEqual([seed, true, true]);
    }
  }
});
