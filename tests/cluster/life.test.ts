/** @module How nodes begin and end together: disagreement, a lost peer, signals. */

import { describe, expect, test } from "bun:test";
import { freePorts, kvmMissing, type Started, start } from "../program.ts";

const missing = kvmMissing();
if (missing !== undefined) console.warn(`SKIPPED: life of a cluster: ${missing}`);

async function cluster(count: number, extra: (node: number) => readonly string[] = () => []) {
  const ports = await freePorts(count);
  const peers = ports.map((port) => `127.0.0.1:${port}`);
  const nodes = peers.map((self, node) =>
    start([
      "run",
      "-v",
      "--local-memory",
      "64M",
      "--peers",
      peers.join(","),
      "--self",
      self,
      // On a busy machine a node may wait for its CPU for seconds.
      "--silence",
      "20000",
      // Long checks, so that the guest is still busy when the test acts.
      "--scale",
      "10000",
      ...extra(node),
    ]),
  );
  return { nodes, peers };
}

async function ends(nodes: readonly Started[]) {
  return Promise.all(nodes.map((node) => node.finished));
}

describe.skipIf(missing !== undefined)("cluster", () => {
  test("a peer that is killed ends the VM on every survivor with one sentence", async () => {
    const { nodes } = await cluster(3);
    await nodes[0]!.logged("the VM runs");
    nodes[2]!.process.kill("SIGKILL");
    const [first, second, third] = await ends(nodes);
    expect(third!.signal).toBe("SIGKILL");
    for (const survivor of [first!, second!]) {
      expect(survivor.signal).toBeNull();
      expect(survivor.stderr).toMatch(/node 2 \(.*\) was lost: /);
      expect(survivor.code).toBe(5);
    }
  });

  test("SIGTERM to any node stops all of them", async () => {
    const { nodes } = await cluster(2);
    await nodes[1]!.logged("the VM runs");
    nodes[1]!.process.kill("SIGTERM");
    const [first, second] = await ends(nodes);
    expect([first!.signal, second!.signal]).toEqual([null, null]);
    expect([first!.code, second!.code]).toEqual([143, 143]);
    expect(first!.stderr).toContain("SIGTERM");
  });

  test("a value that must match everywhere is a disagreement, told on both sides", async () => {
    const ports = await freePorts(2);
    const [a, b] = ports.map((port) => `127.0.0.1:${port}`);
    const nodes = [
      start(["run", "--peers", `${a},${b}`, "--self", a!, "--silence", "1000"]),
      start(["run", "--peers", `${a},${b}`, "--self", b!, "--silence", "1500"]),
    ];
    for (const end of await ends(nodes)) {
      expect(end.code).toBe(4);
      expect(end.stderr).toContain(`node 1 (${b}) has --silence 1500, node 0 (${a}) has 1000`);
    }
  });

  test("a peer that never comes is named after the join time-out", async () => {
    const ports = await freePorts(2);
    const [a, b] = ports.map((port) => `127.0.0.1:${port}`);
    const node = start(["run", "--peers", `${a},${b}`, "--self", a!, "--join-timeout", "1"]);
    const end = await node.finished;
    expect(end.code).toBe(4);
    expect(end.stderr).toContain(`node 1 (${b}) did not answer within 1 s`);
  });
});
