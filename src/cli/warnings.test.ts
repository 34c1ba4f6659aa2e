/** @module What is said before anything runs, and to whom. */

import { expect, test } from "bun:test";
import type { RunConfig } from "../config/run.ts";
import { Failure } from "./failure.ts";
import { kernelNeeds, refuseAtStart, warnAtStart } from "./warnings.ts";

const self = { host: "a", address: "10.0.0.1", port: 7777 };
const kernel = { images: { kernel: {} } } as Partial<RunConfig>;
const pair = { peers: [self, self] } as Partial<RunConfig>;
const cpuinfo = "/proc/cpuinfo";
const fine = { [cpuinfo]: "flags : tsc constant_tsc nonstop_tsc" };

type Files = Readonly<Record<string, string | undefined>>;

function hostOf(changes: Files) {
  const files: Files = { ...fine, ...changes };
  return {
    text: (path: string) => files[path],
    exists: (path: string) => files[path] !== undefined,
  };
}

function configOf(config: Partial<RunConfig>): RunConfig {
  return { peers: [self], guardOff: "", memoryBytes: 1 << 30, ...config } as RunConfig;
}

function said(config: Partial<RunConfig>, changes: Files): readonly string[] {
  const lines: string[] = [];
  const log = { warn: (line: string) => lines.push(line) };
  warnAtStart(configOf(config), 0, self as never, hostOf(changes), log as never);
  return lines.filter((line) => !line.includes("no authentication yet"));
}

function warned(config: Partial<RunConfig>, meminfo: string | undefined): readonly string[] {
  return said(config, { "/proc/meminfo": meminfo });
}

function refusal(config: Partial<RunConfig>, changes: Files): Failure | undefined {
  try {
    refuseAtStart(configOf(config), hostOf(changes));
    return undefined;
  } catch (error) {
    if (error instanceof Failure) return error;
    throw error;
  }
}

test("a share that this host does not have is told, in its own numbers", () => {
  const host = "MemTotal: 9000000 kB\nMemAvailable:    1048575 kB";
  const [line, ...more] = warned({}, host);
  expect(line).toContain("--local-memory gives 1024 MiB and this host has 1023 MiB available");
  expect(more).toEqual([]);
  expect(warned({}, "MemAvailable:    1048576 kB")).toEqual([]);
  // A kernel that does not say.
  expect(warned({}, undefined)).toEqual([]);
});

test("several nodes are told that nothing is authenticated, and guards that are off", () => {
  const lines: string[] = [];
  const log = { warn: (line: string) => lines.push(line) };
  const config = configOf({ ...pair, guardOff: "age" });
  warnAtStart(config, 0, self as never, hostOf({}), log as never);
  const [nodes, guard] = lines;
  expect(nodes).toContain("node 0 of 2 on 10.0.0.1:7777; there is no authentication yet");
  expect(guard).toContain("the coherence guard age is switched off");
});

const settings = [
  ["/sys/module/kvm_intel/parameters/ept", "nested paging: switched off"],
  ["/sys/module/kvm_intel/parameters/unrestricted_guest", "real mode: unrestricted_guest is off"],
  ["/sys/module/kvm_amd/parameters/npt", "nested paging: switched off"],
] as const;

for (const [path, sentence] of settings) {
  test(`a kernel of several nodes is refused: ${path} is N`, () => {
    const off = { [path]: "N" };
    expect(refusal({ ...pair, ...kernel }, off)).toMatchObject({
      code: 3,
      message: expect.stringContaining(sentence),
    });
    expect(refusal({ ...pair, ...kernel }, { [path]: "Y" })).toBeUndefined();
    // One node; the built-in guest, or the kernel of another node.
    expect(refusal(kernel, off)).toBeUndefined();
    expect(said(kernel, off)).toEqual([]);
    expect(refusal(pair, off)).toBeUndefined();
    // Node 0 is told of it and compares it with the kernel it has (src/protocol/agreement.ts).
    expect(said(pair, off)).toEqual([]);
    const text = (each: string) => (each === path ? "N" : undefined);
    const obstacle = expect.stringContaining(sentence);
    const given = configOf({ ...pair, ...kernel });
    expect(kernelNeeds(given, 0, { text })).toEqual({ kernel: true, obstacle });
    expect(kernelNeeds(given, 1, { text })).toEqual({ kernel: false, obstacle });
    expect(kernelNeeds(configOf(pair), 0, { text })).toEqual({ kernel: false, obstacle });
    expect(kernelNeeds(given, 0, hostOf({}))).toEqual({ kernel: true, obstacle: "" });
  });
}

test("a kernel of several nodes on KVM in software is a warning", () => {
  const pvm = { "/sys/module/kvm_pvm": "" };
  expect(refusal({ ...pair, ...kernel }, pvm)).toBeUndefined();
  expect(said({ ...pair, ...kernel }, pvm)).toEqual([
    expect.stringContaining("KVM without hardware support"),
  ]);
  expect(said(pair, pvm)).toEqual([]);
  expect(said(kernel, pvm)).toEqual([]);
});

test("clocks that go wrong and split locks that trap are told of on any number of nodes", () => {
  const clocks = "/sys/devices/system/clocksource/clocksource0/available_clocksource";
  const bad = { [cpuinfo]: "flags : tsc split_lock_detect", [clocks]: "hpet" };
  const names = ["constant_tsc", "nonstop_tsc", "clocksource", "split locks"];
  for (const config of [{}, pair]) {
    expect(said(config, bad).map((line) => line.split(":")[0]!)).toEqual(names);
  }
  expect(said(pair, {})).toEqual([]);
});
