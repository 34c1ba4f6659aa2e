/** @module Seeds of simulated hosts: TSCs follow the fastest, and reports of them are true. */

import { describe, expect, test } from "bun:test";
import { type ClockPlan, ClockSim } from "./clocks.ts";

const usual: Omit<ClockPlan, "seed" | "nodes"> = {
  tscKhz: 2_500_000,
  ppm: 200,
  apartUs: 1000,
  wayUs: 300,
  jitterUs: 100,
  lossPercent: 0,
  jumpUs: 0,
  fixed: false,
};

function simOf(seed: number, changes: Partial<ClockPlan>): ClockSim {
  const lossPercent = (seed * 7) % 21;
  return new ClockSim({ ...usual, seed, nodes: 2 + (seed % 4), lossPercent, ...changes });
}

/** Until the slowest oscillator, 400 ppm behind, has caught up by 500. */
const settleSeconds = 20;

describe("hosts with rates of their own", () => {
  test("no TSC goes back, no step overtakes the fastest, every reported bound holds", () => {
    for (let seed = 0; seed < 16; seed += 1) {
      const sim = simOf(seed, {});
      sim.run(settleSeconds);
      for (let look = 0; look < 20; look += 1) {
        sim.run(0.2);
        const bounds = sim.boundsUs().map((bound) => bound ?? Infinity);
        const said = Math.max(...bounds);
        expect([seed, sim.apartUs() <= said + 0.01]).toEqual([seed, true]);
        // All are on one time: within a round trip, and what jitter and losses add to it.
        expect(said).toBeLessThan(sim.roundTripUs() + 6 * usual.jitterUs);
      }
      const steps = sim.hosts.reduce((sum, host) => sum + host.steps, 0);
      expect(steps).toBeGreaterThan(100);
      expect(sim.hosts.flatMap((host) => host.warnings)).toEqual([]);
    }
  });

  test("rates are found, steps are told in lines that are few", () => {
    for (let seed = 0; seed < 8; seed += 1) {
      const sim = simOf(seed, { nodes: 2, ppm: 30, wayUs: 40, jitterUs: 30, apartUs: 300 });
      sim.run(settleSeconds);
      const [a, b] = sim.hosts;
      const [slower, faster] = a!.rate < b!.rate ? [a!, b!] : [b!, a!];
      const line = slower.lines.at(-1)!;
      expect(line).toMatch(/^the guest's clock was advanced by [\d.]+ us in \d+ steps? to follow/);
      const ppm = Number(/rates differ by (-?[\d.]+) ppm/.exec(line)![1]);
      expect(Math.abs(ppm - (faster.rate - slower.rate) * 1e6)).toBeLessThan(8);
      expect(slower.lines.length).toBeLessThan(4);
      expect(Math.max(...sim.boundsUs().map((bound) => bound!))).toBeLessThan(150);
    }
  });

  test("a seed replays exactly", () => {
    const lives = [simOf(11, {}), simOf(11, {})];
    for (const sim of lives) sim.run(3);
    expect(lives[0]!.hosts.map((host) => host.last)).toEqual(lives[1]!.hosts.map((h) => h.last));
    expect(lives[0]!.boundsUs()).toEqual(lives[1]!.boundsUs());
  });
});

describe("hosts that are not as they should be", () => {
  test("a counter that jumps is told once by each side, and the others catch up", () => {
    for (let seed = 0; seed < 6; seed += 1) {
      const sim = simOf(seed, { ppm: 20, jumpUs: 4000 });
      sim.run(8);
      sim.jump();
      // Nobody can know before it has asked again.
      sim.run(1, false);
      sim.run(12);
      expect([seed, sim.apartUs() < 1000]).toEqual([seed, true]);
      for (const [node, { warnings }] of sim.hosts.entries()) {
        const last = node === sim.hosts.length - 1;
        expect(warnings.length).toBe(last ? sim.hosts.length - 1 : 1);
        const [, us] = /jumped apart by ([\d.]+) us or more/.exec(warnings[0]!)!;
        expect(Number(us)).toBeGreaterThan(2000);
        expect(Number(us)).toBeLessThan(4000);
      }
    }
  });

  test("one that cannot step says so once, and its bound is still true", () => {
    let told = 0;
    for (let seed = 0; seed < 8; seed += 1) {
      const sim = simOf(seed, { fixed: true });
      sim.run(10);
      const { warnings, steps } = sim.hosts.at(-1)!;
      expect(steps).toBe(0);
      expect(warnings.length).toBeLessThanOrEqual(1);
      told += warnings.length;
      for (const text of warnings) expect(text).toMatch(/is at least [\d.]+ us behind that of/);
    }
    expect(told).toBeGreaterThan(0);
  });

  test("rates beyond what is assumed make a report that the judge finds untrue", () => {
    const wild = { ppm: 5000, wayUs: 1, jitterUs: 1, apartUs: 0, nodes: 3 };
    const run = (seed: number) => () => simOf(seed, { ...wild, lossPercent: 0 }).run(20);
    expect(run(1)).toThrow(/says [\d.]+ us, node|stepped ahead of all/);
  });
});
