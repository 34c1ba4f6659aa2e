/** @module What is left of a lab that ends by a signal, and what the next one removes. */

import { afterEach, beforeEach, expect, test } from "bun:test";
import { chownSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { scratchFolder } from "../../scripts/lab/scratch.ts";
import { fakePids } from "./fake.ts";

let folder = "";
let temporary = "";
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "gvmfake-"));
  temporary = join(folder, "tmp");
  mkdirSync(temporary);
});
afterEach(() => rmSync(folder, { recursive: true }));

function startLab(behaviour: string) {
  return Bun.spawn([process.execPath, join(import.meta.dir, "fake-lab.ts"), folder, behaviour], {
    env: { ...process.env, TMPDIR: temporary },
    stdout: "pipe",
  });
}

/** A lab whose host is up and hangs; its QEMU is deaf to SIGTERM. */
async function hangingLab() {
  const child = startLab("hangs");
  const decoder = new TextDecoder();
  let said = "";
  for await (const chunk of child.stdout) {
    said += decoder.decode(chunk, { stream: true });
    if (said.includes("emulated host(s) up")) break;
  }
  return { child, qemu: fakePids(folder)[0]! };
}

function runs(pid: string): boolean {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return false;
  }
}

async function gone(pid: string): Promise<void> {
  while (runs(pid)) await Bun.sleep(5);
}

const endings = [
  ["SIGHUP", 129],
  ["SIGINT", 130],
  ["SIGQUIT", 131],
  ["SIGTERM", 143],
] as const;

for (const [signal, code] of endings) {
  test(`${signal} leaves neither a process nor a file`, async () => {
    const { child, qemu } = await hangingLab();
    expect(readdirSync(temporary).length).toBe(1);
    child.kill(signal);
    expect(await child.exited).toBe(code);
    expect(readdirSync(temporary)).toEqual([]);
    await gone(qemu);
  });
}

test("SIGKILL leaves no process, and its folder to the next lab", async () => {
  const { child, qemu } = await hangingLab();
  child.kill("SIGKILL");
  await child.exited;
  await gone(qemu);
  expect(readdirSync(temporary).length).toBe(1);
  expect(await startLab("works").exited).toBe(0);
  expect(readdirSync(temporary)).toEqual([]);
});

test("only what belongs to a dead lab of this user is removed", () => {
  const usual = process.env["TMPDIR"];
  process.env["TMPDIR"] = temporary;
  try {
    const own = basename(scratchFolder());
    const parts = /^(gvm-[\da-f]{8}-)(\d+)-(\d+)-\w{6}$/.exec(own)!;
    const [, space = "", pid = "", start = ""] = parts;
    expect(pid).toBe(`${process.pid}`);
    // Larger than any pid; the same pid, given to an earlier process.
    const dead = [`${space}4194305-${start}-abcdef`, `${space}${pid}-1-abcdef`];
    const others = [`gvm-00000000-4194305-${start}-abcdef`, "gvm-abcdef", `${space}4194305-abcdef`];
    for (const name of [...dead, ...others])
      mkdirSync(join(temporary, name, "inside"), { recursive: true });
    const foreign = `${space}4194305-${start}-foreig`;
    if (process.getuid!() === 0) {
      mkdirSync(join(temporary, foreign));
      chownSync(join(temporary, foreign), 1, 1);
      others.push(foreign);
    }
    const next = basename(scratchFolder());
    expect(readdirSync(temporary).toSorted()).toEqual([...others, own, next].toSorted());
  } finally {
    if (usual === undefined) delete process.env["TMPDIR"];
    else process.env["TMPDIR"] = usual;
  }
});
