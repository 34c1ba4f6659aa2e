/** @module Times that processes of one host tell each other are of one clock. */

import { expect, test } from "bun:test";
import { join } from "node:path";
import { monotonicNs } from "../../src/native/clock.ts";

const clock = join(import.meta.dir, "../../src/native/clock.ts");
const source = `import { monotonicNs } from "${clock}"; console.log(String(monotonicNs()));`;

test("another process's clock is this one's, not one that starts with it", () => {
  const before = monotonicNs();
  const { stdout, exitCode, stderr } = Bun.spawnSync([process.execPath, "-e", source]);
  const after = monotonicNs();
  expect({ exitCode, stderr: stderr.toString() }).toEqual({ exitCode: 0, stderr: "" });
  const told = BigInt(stdout.toString().trim());
  expect(told).toBeGreaterThan(before);
  expect(told).toBeLessThan(after);
});
