/** @module Debian's programs as an ordinary user has them. */

import { expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { installed } from "../../scripts/lab/apt.ts";

/** An administrator's program of every Linux with glibc. */
const present = ["/sbin/ldconfig", "/usr/sbin/ldconfig"].some((path) => existsSync(path));

test.skipIf(!present)("programs of sbin are found on a path without it", () => {
  const path = process.env["PATH"];
  const ordinary = "/usr/local/bin:/usr/bin:/bin";
  process.env["PATH"] = ordinary;
  try {
    expect(Bun.which("ldconfig", { PATH: ordinary })).toBeNull();
    const said: string[] = [];
    const found = installed("ldconfig", ["no-such-package"], (line) => said.push(line));
    expect(found).toMatch(/\/sbin\/ldconfig$/);
    expect(said).toEqual([]);
  } finally {
    process.env["PATH"] = path;
  }
});
