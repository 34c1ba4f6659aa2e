/** @module What the doctor says of split locks: which hosts trap them, and what the kernel does. */

import { expect, test } from "bun:test";
import { splitLocks } from "./splitlock.ts";

const sysctl = "/proc/sys/kernel/split_lock_mitigate";

function found(files: Readonly<Record<string, string>>, flag = "split_lock_detect") {
  const all = { "/proc/cpuinfo": `processor\t: 0\nflags\t\t: fpu ${flag} lm`, ...files };
  const text = (path: string) => new Map(Object.entries(all)).get(path);
  const [finding] = splitLocks({ text });
  return finding;
}

test("a processor that traps none, or those of programs alone, is left alone", () => {
  expect(found({ [sysctl]: "1" }, "tsc")).toBeUndefined();
  expect(found({ [sysctl]: "1" }, "bus_lock_detect")).toBeUndefined();
  expect(splitLocks({ text: () => undefined })).toEqual([]);
});

test("a kernel that holds them up is told to let them through", () => {
  expect(found({ [sysctl]: "1" })).toMatchObject({
    level: "warn",
    cure: "sysctl -w kernel.split_lock_mitigate=0",
  });
  expect(found({ [sysctl]: "0" })).toBeUndefined();
  // Linux before 6.2 has no such sysctl.
  expect(found({})).toMatchObject({
    level: "warn",
    cure: "put split_lock_detect=off on the command line of this host's kernel",
  });
});

for (const [line, level] of [
  ["ro split_lock_detect=fatal quiet", "fail"],
  ["split_lock_detect=off split_lock_detect=fatal", "fail"],
  ["split_lock_detect=fatal split_lock_detect=off", undefined],
  ["split_lock_detect=ratelimit:10", undefined],
  ["split_lock_detect=warn", "warn"],
] as const) {
  test(`${line}: ${level ?? "nothing to say"}`, () => {
    expect(found({ "/proc/cmdline": line, [sysctl]: "1" })?.level).toBe(level);
  });
}
