/** @module `giantvm bench dsm`: every field, figures that fit each other, true placement. */

import { describe, expect, test } from "bun:test";
import { readFileSync, readdirSync } from "node:fs";
import { peerFailure, placementText } from "../../src/cli/bench.ts";
import { kvmMissing, run, start } from "../program.ts";
import { toolMissing } from "../tools.ts";

const missing = kvmMissing();
if (missing !== undefined) console.warn(`SKIPPED: bench dsm: ${missing}`);
const noTaskset = toolMissing("taskset", "util-linux");
if (noTaskset !== undefined) console.warn(`SKIPPED: bench dsm on one CPU: ${noTaskset}`);

type Row = {
  readonly p50: number;
  readonly p99: number;
  readonly p999: number;
  readonly count: number;
  readonly histogram: readonly number[];
};
type Rows = Readonly<Record<string, Row>>;

const rounds = 60;
const kinds = ["local_fault_us", "remote_read_us", "remote_write_us", "upgrade_us"];
const trips = ["udp_rtt_64_us", "udp_rtt_us"];

async function bench(under: readonly string[] = []) {
  const args = ["bench", "dsm", "--json", "--rounds", String(rounds)];
  const { code, signal, stdout, stderr } = await run(args, { under });
  expect({ code, signal, stderr }).toEqual({ code: 0, signal: null, stderr: "" });
  return JSON.parse(stdout) as {
    rounds: number;
    ratio: number;
    localRatio: number;
    readRatio: number;
    writeRatio: number;
    placement: string;
  } & Rows;
}

/** Bucket k holds what took less than 2^k us; the median lies where half of them are in. */
function fits({ p50, p99, p999, count, histogram }: Row): void {
  expect(p50).toBeGreaterThan(0);
  expect(p99).toBeGreaterThanOrEqual(p50);
  expect(p999).toBeGreaterThanOrEqual(p99);
  expect(histogram.reduce((sum, each) => sum + each, 0)).toBe(count);
  let below = 0;
  const bucket = histogram.findIndex((each) => (below += each) > count / 2);
  expect(p50).toBeLessThan(2 ** bucket);
  if (bucket > 0) expect(p50).toBeGreaterThanOrEqual(2 ** (bucket - 1));
}

/** The process that this one has started, once it has so many threads of this name. */
async function childOf(pid: number, thread: string, count: number): Promise<number> {
  for (;;) {
    const [child] = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").split(" ");
    const tasks = child ? readdirSync(`/proc/${child}/task`) : [];
    const names = tasks.map((task) => readFileSync(`/proc/${child}/task/${task}/comm`, "utf8"));
    const found = names.filter((name) => name === `${thread}\n`).length;
    if (child && found >= count) return Number(child);
    await Bun.sleep(1);
  }
}

describe.skipIf(missing !== undefined)("bench dsm", () => {
  test("has every field, and they fit each other", async () => {
    const result = await bench();
    expect(result.rounds).toBe(rounds);
    for (const name of [...trips, ...kinds]) {
      expect(result[name]!.count).toBe(rounds);
      fits(result[name]!);
    }
    fits(result["ping_pong_us"]!);
    for (const name of ["walk_local_us", "walk_read_us", "walk_write_us"]) {
      expect(result[name]!.count).toBe(Math.ceil(rounds / 128));
      fits(result[name]!);
    }
    const faults = result["remote_read_us"]!.p50 - result["local_fault_us"]!.p50;
    expect(result.ratio).toBeCloseTo(faults / result["udp_rtt_us"]!.p50, 6);
    const locals = result["local_fault_us"]!.p50 / result["walk_local_us"]!.p50;
    expect(result.localRatio).toBeCloseTo(locals, 6);
    const reads = result["remote_read_us"]!.p50 / result["walk_read_us"]!.p50;
    expect(result.readRatio).toBeCloseTo(reads, 6);
    const writes = result["remote_write_us"]!.p50 / result["walk_write_us"]!.p50;
    expect(result.writeRatio).toBeCloseTo(writes, 6);
    expect(result.placement).toMatch(/^(node 0 on CPU \d+, node 1 on|both nodes share) CPU \d+, /);
  });

  test.skipIf(noTaskset !== undefined)("says when both nodes share one CPU", async () => {
    const status = await Bun.file("/proc/self/status").text();
    const cpu = /^Cpus_allowed_list:\s*(\d+)/m.exec(status)![1]!;
    const { placement } = await bench(["taskset", "-c", cpu]);
    expect(placement).toBe(`both nodes share CPU ${cpu}, all waits blocking`);
  });
});

describe.skipIf(missing !== undefined)("node 1 of bench dsm", () => {
  for (const [when, threads] of [
    ["before it serves", 0],
    ["while node 0 waits for it", 1],
  ] as const) {
    test(`is killed ${when}, which is told at once`, async () => {
      const it = start(["bench", "dsm", "--rounds", "20000"]);
      process.kill(await childOf(it.process.pid, "gvm-bench", threads), "SIGKILL");
      const { code, signal, stdout, stderr } = await it.finished;
      expect({ code, signal, stdout }).toEqual({ code: 5, signal: null, stdout: "" });
      expect(stderr).toBe("giantvm: bench: node 1 was ended by SIGKILL before all was measured\n");
    });
  }
});

test("a node 1 that fails is told of by its exit code and its last words", () => {
  const { code, message } = peerFailure(3, null, "giantvm: no more threads\n");
  expect([code, message]).toEqual([
    3,
    "bench: node 1 ended with exit code 3 before all was measured: giantvm: no more threads",
  ]);
  expect(peerFailure(0, null, "").code).toBe(5);
});

test("placements in words", () => {
  expect(placementText("0", "3")).toBe("node 0 on CPU 0, node 1 on CPU 3, all waits blocking");
  expect(placementText("0-3", "1")).toStartWith("not pinned: node 0 on CPUs 0-3, node 1 on CPUs 1");
});
