/** @module Options of the demo: defaults, shares of memory, and one sentence for each bad value. */

import { expect, test } from "bun:test";
import { readDemoOptions } from "./demo-options.ts";
import { Failure } from "./failure.ts";
import type { Flags } from "./flags.ts";

test("defaults are two nodes of two vCPUs", () => {
  expect(readDemoOptions({})).toEqual({
    nodes: 2,
    cpus: 2,
    memoryMibPerNode: 64,
    json: false,
    guardOff: "",
  });
});

test("memory is the total and is shared equally", () => {
  expect(readDemoOptions({ nodes: "4", memory: "1G" }).memoryMibPerNode).toBe(256);
  expect(readDemoOptions({ nodes: "3", memory: "100MiB" }).memoryMibPerNode).toBe(33);
  expect(readDemoOptions({ nodes: "1", memory: "16384K" }).memoryMibPerNode).toBe(16);
  expect(readDemoOptions({ nodes: "1", memory: "64" }).memoryMibPerNode).toBe(64);
});

test("bad values are refused with what would be right", () => {
  const bad: readonly [Flags, RegExp][] = [
    [{ nodes: "0" }, /--nodes "0": give a whole number from 1 to 64/],
    [{ nodes: "65" }, /from 1 to 64/],
    [{ nodes: "2x" }, /--nodes "2x"/],
    [{ cpus: "-1" }, /--cpus "-1": give a whole number from 1 to 255/],
    [{ nodes: "2.5" }, /--nodes "2.5"/],
    [{ nodes: "64", cpus: "4" }, /are 256 vCPUs: at most 255/],
    [{ memory: "lots" }, /--memory "lots": give a size such as/],
    [{ memory: "1P" }, /--memory "1P"/],
    [{ nodes: "2", memory: "31M" }, /2 nodes need 32M or more/],
    [{ memory: "true" }, /--memory "true"/],
  ];
  for (const [flags, message] of bad) {
    expect(() => readDemoOptions(flags)).toThrow(Failure);
    expect(() => readDemoOptions(flags)).toThrow(message);
  }
});
