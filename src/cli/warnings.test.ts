/** @module What is said before anything runs, and to whom. */

import { expect, test } from "bun:test";
import type { RunConfig } from "../config/run.ts";
import { warnAtStart } from "./warnings.ts";

const self = { host: "a", address: "10.0.0.1", port: 7777 };

function warned(config: Partial<RunConfig>, meminfo: string | undefined): readonly string[] {
  const said: string[] = [];
  const whole = { peers: [self], guardOff: "", memoryBytes: 1 << 30, ...config } as RunConfig;
  const log = { warn: (line: string) => said.push(line) };
  warnAtStart(whole, 0, self as never, { text: () => meminfo }, log as never);
  return said;
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
  const [nodes, guard] = warned({ peers: [self, self] as never, guardOff: "age" }, undefined);
  expect(nodes).toContain("node 0 of 2 on 10.0.0.1:7777; there is no authentication yet");
  expect(guard).toContain("the coherence guard age is switched off");
});
