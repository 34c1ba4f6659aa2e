/** @module A control socket takes the place of a dead one; whatever else is at its path stays. */

import { dlopen, FFIType, ptr } from "bun:ffi";
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { chmodSync, existsSync, lstatSync, mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { temporaryFolder } from "../../tests/program.ts";
import { toolMissing } from "../../tests/tools.ts";
import type { Questions } from "../node/questions.ts";
import { openControl } from "./server.ts";

const { i32, ptr: pointer, u32 } = FFIType;
const libc = dlopen("libc.so.6", {
  socket: { args: [i32, i32, i32], returns: i32 },
  bind: { args: [i32, pointer, u32], returns: i32 },
  close: { args: [i32], returns: i32 },
});
const kinds = { stream: 1, datagram: 2, "sequenced packet": 5 };
const nobody = {} as Questions;

/** A socket at the path for as long as it is not closed; the path stays. */
function bound(path: string, kind: keyof typeof kinds) {
  const fd = libc.symbols.socket(1, kinds[kind], 0);
  expect(fd).toBeGreaterThan(0);
  const name = Buffer.from(`\x01\0${path}\0`);
  expect(libc.symbols.bind(fd, ptr(name), name.length)).toBe(0);
  return { [Symbol.dispose]: () => void libc.symbols.close(fd) };
}

describe("a control socket", () => {
  let folder: ReturnType<typeof temporaryFolder>;
  let path: string;
  beforeAll(() => {
    folder = temporaryFolder();
    path = join(folder.path, "control");
  });
  afterAll(() => folder[Symbol.dispose]());

  test("takes the place of one that nobody has open", () => {
    bound(path, "stream")[Symbol.dispose]();
    expect(lstatSync(path).isSocket()).toBe(true);
    openControl(path, nobody)!.close();
    expect(existsSync(path)).toBe(false);
  });

  test("leaves a node's where it is", () => {
    const first = openControl(path, nobody)!;
    expect(() => openControl(path, nobody)).toThrow("another giantvm listens there");
    expect(existsSync(path)).toBe(true);
    first.close();
  });

  test("leaves one that has taken its place when it is closed itself", () => {
    const first = openControl(path, nobody)!;
    rmSync(path);
    const second = openControl(path, nobody)!;
    first.close();
    expect(() => openControl(path, nobody)).toThrow("another giantvm listens there");
    second.close();
    expect(existsSync(path)).toBe(false);
  });

  for (const kind of ["datagram", "sequenced packet"] as const) {
    test(`leaves another program's, of kind ${kind}`, () => {
      using _ = bound(path, kind);
      const said = `--control ${path}: may still be in use (EPROTOTYPE)`;
      expect(() => openControl(path, nobody)).toThrow(said);
      expect(lstatSync(path).isSocket()).toBe(true);
      rmSync(path);
    });
  }

  test("is refused where nothing can be made", () => {
    const refused = [
      [`${import.meta.path}/x`, "cannot be made (ENOTDIR)"],
      [`${folder.path}/none/x`, "cannot be made (ENOENT)"],
      [import.meta.path, "is there and no socket"],
    ] as const;
    for (const [at, why] of refused) {
      expect(() => openControl(at, nobody)).toThrow(`--control ${at}: ${why}`);
    }
  });

  const noPrivileges =
    process.getuid?.() === 0 ? toolMissing("setpriv", "util-linux") : "root is needed";
  if (noPrivileges !== undefined) console.warn(`SKIPPED: forbidden sockets: ${noPrivileges}`);
  test.skipIf(noPrivileges !== undefined)("leaves what this user may not use", () => {
    const live = openControl(path, nobody)!;
    chmodSync(path, 0);
    const closed = join(folder.path, "closed");
    mkdirSync(closed, { mode: 0 });
    const serve = '(await import("./server.ts")).openControl';
    const ask = 'await (await import("./client.ts")).ControlClient.open';
    const refused = [
      [serve, path, "may still be in use (EACCES)"],
      [serve, join(closed, "x"), "cannot be made (EACCES)"],
      [ask, path, "this user may not ask there"],
    ] as const;
    for (const [use, at, why] of refused) {
      const script = `${use}(${JSON.stringify(at)}, {})`;
      const under = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"];
      const end = Bun.spawnSync([...under, process.execPath, "-e", script], {
        cwd: import.meta.dir,
      });
      expect(end.stderr.toString()).toContain(`--control ${at}: ${why}`);
    }
    expect(existsSync(path)).toBe(true);
    live.close();
  });
});
