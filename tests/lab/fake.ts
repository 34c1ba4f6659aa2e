/** @module A lab whose QEMU is fake-qemu.mjs, for what the lab itself makes of hosts and guests. */

import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Lab, type Outcome, play, type Progress } from "../../scripts/lab/play.ts";
import type { Scenario } from "../../scripts/lab/scenarios.ts";

export const short: Scenario = {
  name: "short",
  title: "two CPUs",
  guest: "linux",
  network: undefined,
  nodes: [{ cpus: 2, memory: "256M" }],
  append: undefined,
  questions: [
    { command: "nproc", answer: /^2$/m, meaning: "2 CPUs", again: true },
    { command: "nproc --all", answer: /^2$/, meaning: "2 CPUs in all" },
  ],
  bootSeconds: 2,
  answerSeconds: 2,
};

/** @param folder Of the caller's, who removes it. */
export function fakeLab(folder: string, behaviour: string): Lab {
  const qemu = join(folder, "qemu");
  const fake = [process.execPath, join(import.meta.dir, "fake-qemu.mjs"), behaviour];
  writeFileSync(qemu, `#!/bin/sh\nexec ${fake.join(" ")} ${join(folder, "pids")} "$@"\n`);
  chmodSync(qemu, 0o755);
  const nothing = { vmlinuz: "", modules: "", busybox: "", tc: "", release: "" };
  return {
    packages: () => ({ ...nothing, setpriv: "setpriv", qemu }),
    archive: () => {},
    tscKhz: 1,
  };
}

/** Of each start of the fake in that folder. */
export function fakePids(folder: string): readonly string[] {
  const path = join(folder, "pids");
  return existsSync(path) ? readFileSync(path, "utf8").trim().split("\n") : [];
}

type Faked = { readonly outcome: Outcome; readonly starts: number };

/** Plays with a fake QEMU; also how often it was started. */
export async function withFake(
  behaviour: string,
  scenario = short,
  progress: Partial<Progress> = {},
): Promise<Faked> {
  const folder = mkdtempSync(join(tmpdir(), "gvmfake-"));
  const silent = { say: () => {}, everyMs: 20, console: () => {}, log: () => {} };
  try {
    const lab = fakeLab(folder, behaviour);
    const outcome = await play(lab, scenario, { ...silent, ...progress });
    return { outcome, starts: fakePids(folder).length };
  } finally {
    rmSync(folder, { recursive: true });
  }
}
