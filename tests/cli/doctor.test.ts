/** @module `giantvm doctor`: who of the peers listens, refuses or is silent, and the rest. */

import { describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { freePorts } from "../../src/net/ports.ts";
import { hostsMissing } from "../hosts.ts";
import { ipv6Missing } from "../ipv6.ts";
import { cablesMissing, Namespace } from "../net/cables.ts";
import { kvmMissing, run, start, temporaryFolder } from "../program.ts";

const missing = kvmMissing();
if (missing !== undefined) console.warn(`SKIPPED: doctor beside a node: ${missing}`);

const noHosts = hostsMissing();
if (noHosts !== undefined) console.warn(`SKIPPED: doctor with another /etc/hosts: ${noHosts}`);
const noSix = ipv6Missing();
if (noSix !== undefined) console.warn(`SKIPPED: doctor by IPv6: ${noSix}`);

type Finding = { readonly name: string; readonly level: string; readonly found: string };

type Where = { readonly self?: string; readonly under?: readonly string[] };

async function doctor(peers: readonly string[], { self, under = [] }: Where = {}) {
  const args = ["doctor", "--json", ...(peers.length > 0 ? ["--peers", peers.join(",")] : [])];
  if (self !== undefined) args.push("--self", self);
  const { code, stdout, stderr } = await run(args, { under });
  expect(stderr).toBe("");
  const { ok, findings } = JSON.parse(stdout) as { ok: boolean; findings: Finding[] };
  const list = findings.find(({ name }) => name === "peers");
  const asked = findings.filter((each) => each.name.startsWith("peer "));
  return { code, ok, list, peers: asked, findings };
}

/** What the doctor finds of a list that `run` refuses, and what that says. */
async function refused(list: string, under: readonly string[] = []) {
  const node = await run(["run", "--peers", list], { under });
  const { code, ok, list: found } = await doctor([list], { under });
  expect({ list, run: node.code, code, ok }).toEqual({ list, run: 2, code: 3, ok: false });
  expect(node.stderr).toBe(`giantvm: ${found!.found}\n`);
  expect(found!.level).toBe("fail");
  return found!.found;
}

describe("doctor", () => {
  test.skipIf(missing !== undefined)("knows a node that waits or runs", async () => {
    const [own, closed] = await freePorts(2);
    const peers = `127.0.0.1:${own},127.0.0.1:${closed}`;
    const node = start(["run", "-v", "--peers", peers, "--self", `127.0.0.1:${own}`]);
    await node.logged("there is no authentication yet");
    const both = [`localhost:${own}`, `127.0.0.1:${closed}`];
    const { code, ok, list, peers: found } = await doctor(both, { self: both[0]! });
    node.process.kill("SIGTERM");
    expect((await node.finished).code).toBe(143);
    expect({ code, ok }).toEqual({ code: 0, ok: true });
    expect(list).toMatchObject({ level: "ok", found: "this host is node 0 of 2, 127.0.0.1" });
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
    for (const [args, says] of [
      [["--peers", "a:99999"], "ports from 1 to 65535"],
      [["--peers", "a,b", "--self", "a:0"], '--self "a:0": give host, host:port or'],
      [["--self", "a"], "--self a: give --peers, of which it is one"],
    ] as const) {
      const { code, stdout, stderr } = await run(["doctor", ...args]);
      expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
      expect(stderr).toContain(says);
    }
  });

  test("fails by run's own sentence for a list that run refuses", async () => {
    expect(await refused("127.0.0.1:1,[::1]:2")).toContain("mixes IPv4 (127.0.0.1) and IPv6");
    expect(await refused("localhost:1,127.0.0.1:1")).toContain("are the same address");
    expect(await refused("127.0.0.8:1,127.0.0.9:1")).toContain("is an address of this host; give");
    expect(await refused("127.0.0.1:1,127.0.0.1:2")).toContain("several of --peers are addresses");
  });

  test.skipIf(noHosts !== undefined)("and for Debian's own name", async () => {
    using folder = temporaryFolder();
    const hosts = join(folder.path, "hosts");
    writeFileSync(hosts, "127.0.0.1 localhost\n127.0.1.1 hosta\n10.78.0.2 hostb\n");
    // Without a network nobody is asked.
    const under = [
      "unshare",
      "-mn",
      "sh",
      "-ec",
      `mount --bind ${hosts} /etc/hosts; exec "$0" "$@"`,
    ];
    expect(await refused("hosta,hostb", under)).toBe(
      "--peers hosta is 127.0.1.1, which hostb cannot reach: " +
        "give the address that host has in the network (or mend /etc/hosts)",
    );
  });

  test.skipIf(noSix !== undefined)("asks by IPv6", async () => {
    const both = (await freePorts(2)).map((port) => `[::1]:${port}`);
    const { list, peers } = await doctor(both, { self: both[1]! });
    expect(list).toMatchObject({ level: "ok", found: "this host is node 1 of 2, ::1" });
    const says = expect.stringMatching(/^::1 refuses: .*; datagrams of \d+ bytes arrive/);
    expect(peers).toMatchObject([
      { level: "ok", found: says },
      { level: "ok", found: says },
    ]);
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
      const { peers } = await doctor(["10.78.0.2"], here);
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
    const { peers } = await doctor(["10.78.1.2"], here);
    const says = expect.stringContaining("datagrams of 1472 bytes arrive");
    expect(peers).toMatchObject([{ level: "ok", found: says }]);
  });

  test("a host of several addresses asks from that among the peers, as a node would", async () => {
    await using here = await Namespace.open();
    await using far = await Namespace.open();
    here.join(far, "10.78.0", { here: 1500, there: 1500 });
    here.run("ip addr add 10.78.0.3/24 dev v10780");
    // Where the kernel would ask from is no address that is answered.
    far.run("ip route add blackhole 10.78.0.1/32");
    const { list, peers } = await doctor(["10.78.0.3", "10.78.0.2"], here);
    expect(list).toMatchObject({ level: "ok", found: "this host is node 0 of 2, 10.78.0.3" });
    const says = expect.stringContaining("datagrams of 1472 bytes arrive");
    expect(peers[1]).toMatchObject({ level: "ok", found: says });
  });
});
