/** @module `giantvm doctor`: who of the peers listens, refuses or is silent, and the rest. */

import { describe, expect, test } from "bun:test";
import { cablesMissing, Namespace } from "../net/cables.ts";
import { freePorts, kvmMissing, run, start } from "../program.ts";

const missing = kvmMissing();
if (missing !== undefined) console.warn(`SKIPPED: doctor beside a node: ${missing}`);

type Finding = { readonly name: string; readonly level: string; readonly found: string };

async function doctor(peers: readonly string[], under: readonly string[] = []) {
  const args = ["doctor", "--json", ...(peers.length > 0 ? ["--peers", peers.join(",")] : [])];
  const { code, stdout, stderr } = await run(args, { under });
  expect(stderr).toBe("");
  const { ok, findings } = JSON.parse(stdout) as { ok: boolean; findings: Finding[] };
  return { code, ok, peers: findings.filter((each) => each.name.startsWith("peer ")), findings };
}

describe("doctor", () => {
  test.skipIf(missing !== undefined)("knows a node that waits or runs", async () => {
    const [own, closed] = await freePorts(2);
    const peers = `127.0.0.1:${own},127.0.0.1:${closed}`;
    const node = start(["run", "-v", "--peers", peers, "--self", `127.0.0.1:${own}`]);
    await node.logged("there is no authentication yet");
    const { code, ok, peers: found } = await doctor([`localhost:${own}`, `127.0.0.1:${closed}`]);
    node.process.kill("SIGTERM");
    expect((await node.finished).code).toBe(143);
    expect({ code, ok }).toEqual({ code: 0, ok: true });
    expect(found.map(({ level }) => level)).toEqual(["ok", "ok"]);
    expect(found[0]!.found).toMatch(/this giantvm listens; datagrams of \d+ bytes arrive/);
    expect(found[1]!.found).toContain("no giantvm listens there now, or a filter rejects");
  });

  test("a silent peer is a remark, a name without address a failure", async () => {
    const silent = await Bun.udpSocket({ hostname: "127.0.0.1", port: 0 });
    try {
      const only = await doctor([`127.0.0.1:${silent.port}`]);
      expect(only.peers[0]).toMatchObject({ level: "warn" });
      const both = await doctor([`127.0.0.1:${silent.port}`, "nowhere.invalid"]);
      expect(both).toMatchObject({ code: 3, ok: false });
      expect(both.peers.map(({ level }) => level)).toEqual(["warn", "fail"]);
    } finally {
      silent.close();
    }
  });

  test("says what the kernel grants and every other thing it looks at", async () => {
    const { findings } = await doctor([]);
    const names = findings.map(({ name }) => name);
    for (const name of ["kvm", "kernel", "userfaultfd", "memory", "socket buffer"]) {
      expect(names).toContain(name);
    }
    expect(findings.find(({ name }) => name === "socket buffer")!.found).toMatch(
      /\d+ bytes granted/,
    );
  });

  test("refuses peers as run does", async () => {
    const { code, stdout, stderr } = await run(["doctor", "--peers", "a:99999"]);
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    expect(stderr).toContain("ports from 1 to 65535");
  });
});

const cables = cablesMissing();
if (cables !== undefined) console.warn(`SKIPPED: doctor on cables: ${cables}`);

/** What is found of a host at the end of a cable or two, where nobody listens but its kernel. */
describe.skipIf(cables !== undefined)("doctor over a cable", () => {
  for (const { there, level, says } of [
    { there: 9000, level: "ok", says: "datagrams of 8972 bytes arrive, a page fits one" },
    { there: 1500, level: "fail", says: "small datagrams arrive, those of 8972 bytes do not" },
  ]) {
    test(`from 9000 bytes to ${there}: ${level}`, async () => {
      await using here = await Namespace.open();
      await using far = await Namespace.open();
      here.join(far, "10.78.0", { here: 9000, there });
      const { peers } = await doctor(["10.78.0.2"], here.under);
      expect(peers).toMatchObject([{ level, found: expect.stringContaining(says) }]);
    });
  }

  test("a router that says that its way on is narrower is believed", async () => {
    await using here = await Namespace.open();
    await using router = await Namespace.open();
    await using far = await Namespace.open();
    here.join(router, "10.78.0", { here: 9000, there: 9000 });
    router.join(far, "10.78.1", { here: 1500, there: 1500 });
    router.run("echo 1 > /proc/sys/net/ipv4/ip_forward");
    here.run("ip route add default via 10.78.0.2");
    far.run("ip route add default via 10.78.1.1");
    const { peers } = await doctor(["10.78.1.2"], here.under);
    const says = expect.stringContaining("datagrams of 1472 bytes arrive");
    expect(peers).toMatchObject([{ level: "ok", found: says }]);
  });
});
