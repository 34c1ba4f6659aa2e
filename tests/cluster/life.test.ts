/** @module How nodes begin and end together: disagreement, a lost peer, signals. */

import { describe, expect, test } from "bun:test";
import { ended, loopback, nodeWords, patient, startNodes } from "../nodes.ts";
import { kvmMissing, start } from "../program.ts";

const missing = kvmMissing();
if (missing !== undefined) console.warn(`SKIPPED: life of a cluster: ${missing}`);

async function cluster(count: number) {
  // Long checks, so that the guest is still busy when the test acts.
  return startNodes(await loopback(count), ["-v", ...patient, "--scale", "10000"]);
}

describe.skipIf(missing !== undefined)("cluster", () => {
  test("a peer that is killed ends the VM on every survivor with one sentence", async () => {
    const nodes = await cluster(3);
    // Once all vCPUs have met, which takes memory of each node: its engine has answered.
    await nodes[0]!.printed("check start");
    nodes[2]!.process.kill("SIGKILL");
    const [first, second, third] = await ended(nodes);
    expect(third!.signal).toBe("SIGKILL");
    for (const survivor of [first!, second!]) {
      expect(survivor.signal).toBeNull();
      // Told by its kernel, long before its silence would count.
      expect(survivor.stderr).toMatch(/node 2 \(.*\) was lost: its port is closed/);
      expect(survivor.code).toBe(5);
    }
  });

  test("SIGTERM to any node stops all of them", async () => {
    const nodes = await cluster(2);
    await nodes[1]!.logged("the VM runs");
    nodes[1]!.process.kill("SIGTERM");
    const [first, second] = await ended(nodes);
    expect([first!.signal, second!.signal]).toEqual([null, null]);
    expect([first!.code, second!.code]).toEqual([143, 143]);
    expect(first!.stderr).toContain("SIGTERM");
  });

  test("each node but the first tells how far its clock may be from the first one's", async () => {
    const nodes = await cluster(3);
    await Promise.all(nodes.map((node) => node.logged("the VM runs")));
    nodes[0]!.process.kill("SIGTERM");
    const said = await ended(nodes);
    const clocks = said.map(({ stderr }) => stderr.match(/the VM runs(.*)/)?.[1]);
    expect(clocks[0]).toBe("");
    for (const clock of clocks.slice(1)) {
      expect(clock).toMatch(/^; its guest clock agrees with node 0's within [1-9]\d* us$/);
    }
  });

  test("a value that must match everywhere is a disagreement, told on both sides", async () => {
    const peers = await loopback(2);
    const [a, b] = peers;
    const nodes = startNodes(peers, (node) => ["--silence", node === 0 ? "1000" : "1500"]);
    for (const end of await ended(nodes)) {
      expect(end.code).toBe(4);
      expect(end.stderr).toContain(`node 1 (${b}) has --silence 1500, node 0 (${a}) has 1000`);
    }
  });

  test("a peer that never comes is named after the join time-out", async () => {
    const peers = await loopback(2);
    const [a = "", b] = peers;
    const node = start([...nodeWords(peers, a), "--join-timeout", "1"]);
    const end = await node.finished;
    expect(end.code).toBe(4);
    expect(end.stderr).toContain(`node 1 (${b}) did not answer within 1 s`);
  });
});
