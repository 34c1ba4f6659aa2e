/**
 * @module A slow device on node 1, used by the boot processor on node 0: two processes, an answer
 * that comes later, a device that is too late, and a guest that resets the machine.
 */

import { describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { ended, loopback, patient, startNodes } from "../nodes.ts";
import { kvmMissing, temporaryFolder } from "../program.ts";
import { tinyGuest } from "../tiny-guest.ts";

const missing = kvmMissing();
if (missing !== undefined) console.warn(`SKIPPED: slow devices over two nodes: ${missing}`);

async function cluster(code: Uint8Array, delayMs: number) {
  using folder = temporaryFolder();
  const kernel = join(folder.path, "guest.elf");
  writeFileSync(kernel, tinyGuest(code));
  const reports = [0, 1].map((node) => join(folder.path, `report-${node}`));
  const slow = ["--scratch-node", "1", "--scratch-delay", String(delayMs)];
  const nodes = startNodes(await loopback(2), (node) => {
    const own = ["--report", reports[node]!, ...(node === 0 ? ["--kernel", kernel] : [])];
    return ["-v", ...patient, ...slow, ...own];
  });
  const ends = await ended(nodes);
  const counters = await Promise.all(
    reports.map(async (path) => (await Bun.file(path).json()).counters as Record<string, number>),
  );
  return { ends, counters };
}

/** mov dx,0x508; mov al,0x2a; out dx,al; xor eax,eax; in al,dx; sub al,0x2a; out 0xf4,al; hlt */
const writeAndRead = Buffer.from(
  "66ba0805 b02a ee 31c0 ec 2c2a e6f4 f4".replaceAll(" ", ""),
  "hex",
);

/**
 * mov dx,0x508; in al,dx; inc al; out dx,al; cmp al,3; je done;
 * mov dx,0xcf9; mov al,6; out dx,al; hlt;  done: xor eax,eax; out 0xf4,al; hlt
 */
const threeBoots = Buffer.from(
  "66ba0805 ec fec0 ee 3c03 7408 66baf90c b006 ee f4 31c0 e6f4 f4".replaceAll(" ", ""),
  "hex",
);

describe.skipIf(missing !== undefined)("slow devices over two nodes", () => {
  for (const delayMs of [0, 300]) {
    test(`an answer ${delayMs} ms later reaches the vCPU of the other node`, async () => {
      const { ends, counters } = await cluster(writeAndRead, delayMs);
      expect(ends.map(({ code, signal }) => ({ code, signal }))).toEqual([
        { code: 0, signal: null },
        { code: 0, signal: null },
      ]);
      // The write and the read cross; the exit port is the first node's own.
      expect(counters[0]!["ioForwarded"]).toBe(2);
      expect(counters[1]!["ioServed"]).toBe(2);
    });
  }

  test("a device that is too late ends the VM on both nodes with one sentence", async () => {
    const { ends } = await cluster(writeAndRead, 30_000);
    for (const { code, signal, stderr } of ends) {
      expect({ code, signal }).toEqual({ code: 7, signal: null });
      expect(stderr).toContain(
        "device scratch of node 1 has not answered the write to port 508 by vCPU 0 of node 0",
      );
    }
  }, 120_000);

  // Without a delay the second node still compares clocks when the guest resets.
  for (const delayMs of [0, 600]) {
    test(`two resets are three boots, devices keep state (${delayMs} ms)`, async () => {
      const { ends } = await cluster(threeBoots, delayMs);
      for (const [node, { code, signal, stderr }] of ends.entries()) {
        expect({ code, signal, stderr }).toEqual({ code: 0, signal: null, stderr });
        expect(stderr.match(/the guest restarts/g)?.length).toBe(2);
        if (node === 1 && delayMs === 0) continue;
        expect([stderr, stderr.match(/the VM runs/g)?.length]).toEqual([stderr, 3]);
      }
    }, 120_000);
  }
});
