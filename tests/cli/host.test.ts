/** @module A host that lacks a right: one sentence with the cure and exit code 3, late, too. */

import { expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { executable, freePorts, kvmMissing, temporaryFolder } from "../program.ts";

const notRoot = process.getuid?.() === 0 ? undefined : "rights can be taken away by root only";
const reason = kvmMissing() ?? notRoot;
if (reason !== undefined) console.warn(`skipped: userfaultfd refused (${reason})`);

test.skipIf(reason !== undefined)("userfaultfd refused", async () => {
  using folder = temporaryFolder();
  const closed = join(folder.path, "closed");
  writeFileSync(closed, "", { mode: 0 });
  const [port] = await freePorts(1);
  // In a mount namespace of its own: nobody may open the device, nor make the system call.
  const script = `[ ! -e /dev/userfaultfd ] || mount --bind ${closed} /dev/userfaultfd
    exec setpriv --bounding-set=-sys_ptrace,-dac_override,-dac_read_search \
      ${executable} run --peers 127.0.0.1:${port} --local-memory 64M`;
  const child = Bun.spawn(["unshare", "--mount", "sh", "-c", script], {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const stderr = await new Response(child.stderr).text();
  await child.exited;
  expect(stderr).toContain("userfaultfd may not handle kernel faults for this user: run as root");
  expect(stderr.trim().split("\n").length).toBe(1);
  expect({ code: child.exitCode, signal: child.signalCode }).toEqual({ code: 3, signal: null });
});
