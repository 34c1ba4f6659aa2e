/**
 * @module The lab's folders among those for temporary files. Each is named after the process whose
 * it is, so that the next lab removes those of one that was killed and could not.
 */

import { lstatSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Where pids are given, pid, start of the process; mkdtemp's own six characters. */
const pattern = /^gvm-([\da-f]{8})-(\d+)-(\d+)-\w{6}$/;

/**
 * When a process started, in clock ticks since this machine did: a pid is given anew, a pid with
 * its start is not (proc(5), field 22 of stat). Undefined when there is none.
 */
function startOf(pid: string): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    // The second field, the program's name, may hold anything.
    const [state, ...rest] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return state === "Z" ? undefined : rest[18];
  } catch {
    return undefined;
  }
}

/** Pids of another container, or of another machine with the same folder, say nothing here. */
function namespace(): string {
  const boot = readFileSync("/proc/sys/kernel/random/boot_id", "utf8");
  const hash = Bun.hash.crc32(boot + readlinkSync("/proc/self/ns/pid"));
  return hash.toString(16).padStart(8, "0");
}

/** Whether it is a folder of this user's lab that has ended. */
function abandoned(name: string): boolean {
  const [, space, pid = "", start] = pattern.exec(name) ?? [];
  if (space !== namespace() || startOf(pid) === start) return false;
  const found = lstatSync(join(tmpdir(), name), { throwIfNoEntry: false });
  return found !== undefined && found.isDirectory() && found.uid === process.getuid?.();
}

/** A new folder, short enough for sockets; who asks removes it. First those of dead labs go. */
export function scratchFolder(): string {
  for (const name of readdirSync(tmpdir()).filter(abandoned)) {
    try {
      rmSync(join(tmpdir(), name), { recursive: true });
    } catch {
      // Another lab that starts now is quicker, or there is some reason: it is not ours to fail by.
    }
  }
  const owner = `${namespace()}-${process.pid}-${startOf("self") ?? 0}`;
  return mkdtempSync(join(tmpdir(), `gvm-${owner}-`));
}
