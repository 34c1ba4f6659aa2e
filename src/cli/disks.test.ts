/** @module What a user is told of an image that cannot be opened. */

import { expect, test } from "bun:test";
import { mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openDisks, reasonOf } from "./disks.ts";

test("each errno that has a cure is told with it", () => {
  const cases: readonly (readonly [string, boolean, string])[] = [
    ["ENOENT", false, "there is no such file"],
    ["ENOTDIR", true, "there is no such file"],
    ["EACCES", true, "this user may not read it"],
    ["EPERM", false, "this user may not write it"],
    ["EROFS", false, "is on a read-only file system; give ro"],
    ["ENOLCK", false, "its file system gives no lock against other virtual machines"],
    ["EAGAIN", true, "another virtual machine has it open: end that one first"],
    ["EBUSY", false, "this block device is mounted or in use"],
    ["ENODEV", false, "is neither a file nor a block device"],
    ["ETXTBSY", false, "cannot be opened (ETXTBSY)"],
  ];
  for (const [code, readOnly, words] of cases) expect(reasonOf(code, readOnly)).toStartWith(words);
});

test("the errno is the kernel's", () => {
  const folder = mkdtempSync(join(tmpdir(), "giantvm-disks-"));
  try {
    const path = join(folder, "loop.img");
    symlinkSync("loop.img", path);
    const disk = { path, readOnly: true, node: 0 };
    expect(() => openDisks([disk])).toThrow(`--disk ${path}: cannot be opened (ELOOP)`);
    const long = { ...disk, path: "x/".repeat(2500) };
    expect(() => openDisks([long])).toThrow("x/: cannot be opened (ENAMETOOLONG)");
  } finally {
    rmSync(folder, { recursive: true });
  }
});
