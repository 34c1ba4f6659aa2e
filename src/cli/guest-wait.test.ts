/** @module The demo listens longer than its guest is silent before it names a stuck check. */

import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { nodeCommand, quietMs } from "./demo.ts";
import { readDemoOptions } from "./demo-options.ts";
import { guestQuietMs, guestWaitMs, quietWaits } from "./guest-wait.ts";

test("a wait is five silences, ten seconds at least", () => {
  expect(guestWaitMs({ silenceMs: 100, guardOff: "" })).toBe(10_000);
  expect(guestWaitMs({ silenceMs: 2_000, guardOff: "" })).toBe(10_000);
  expect(guestWaitMs({ silenceMs: 20_000, guardOff: "" })).toBe(100_000);
  expect(guestWaitMs({ silenceMs: 20_000, guardOff: "version_check" })).toBe(10_000);
});

test("whoever watches waits longer than the guest, whatever the silence", () => {
  for (const guardOff of ["", "version_check"]) {
    for (const silenceMs of [100, 2_000, 20_000, 600_000]) {
      const node = { silenceMs, guardOff };
      const waits = quietWaits.meeting + quietWaits.turn;
      expect(guestQuietMs(node)).toBeGreaterThan(waits * guestWaitMs(node));
    }
  }
});

test("the demo listens longer than the guests of the nodes it starts may be silent", () => {
  for (const guardOff of ["", "version_check"]) {
    const options = readDemoOptions({ "guard-off": guardOff });
    const command = nodeCommand(options, ["127.0.0.1:1", "127.0.0.1:2"], 0, "/report");
    const silenceMs = Number(command[command.indexOf("--silence") + 1]);
    expect(quietMs(options)).toBe(guestQuietMs({ silenceMs, guardOff }));
    expect(command.includes("--guard-off")).toBe(guardOff !== "");
  }
});

test("the guest's source has the waits that are counted", () => {
  const path = join(import.meta.dir, "../../native/zig/guest/context.zig");
  const factors = [...readFileSync(path, "utf8").matchAll(/limit_factor = (\d+);/g)];
  expect(factors.map((match) => Number(match[1]))).toEqual([quietWaits.meeting]);
});
