/**
 * @module Two nodes by every kind of address: IPv6 in a spelling of its own, names, and network
 * namespaces, where each node finds by itself which of the peers it is.
 */

import { describe, expect, test } from "bun:test";
import { freePorts } from "../../src/net/ports.ts";
import { ended, nodeWords, patient } from "../nodes.ts";
import { executable, kvmMissing, run, start } from "../program.ts";
import { toolMissing } from "../tools.ts";

const missing = kvmMissing();
if (missing !== undefined) console.warn(`SKIPPED: addresses of a cluster: ${missing}`);
const noSpaces = process.getuid?.() === 0 ? toolMissing("ip", "iproute2") : "root is needed";
if (noSpaces !== undefined) console.warn(`SKIPPED: nodes in network namespaces: ${noSpaces}`);

async function passes(peers: readonly string[], selves: readonly string[]): Promise<void> {
  const ends = await ended(selves.map((self) => start([...nodeWords(peers, self), ...patient])));
  expect(ends.map(({ code, signal, stderr }) => ({ code, signal, stderr }))).toEqual(
    ends.map(({ stderr }) => ({ code: 0, signal: null, stderr })),
  );
  expect(ends[0]!.stdout).toContain("verdict pass");
}

describe.skipIf(missing !== undefined)("peers", () => {
  test("by IPv6, spelled as nobody else does", async () => {
    const [a, b] = await freePorts(2);
    const peers = [`[0:0:0:0:0:0:0:1]:${a}`, `[::0001]:${b}`];
    await passes(peers, [`[::1]:${a}`, peers[1]!]);
  }, 120_000);

  test("by name", async () => {
    const peers = (await freePorts(2)).map((port) => `localhost:${port}`);
    await passes(peers, peers);
  }, 120_000);

  test("that cannot reach each other are refused before anything starts", async () => {
    const cases = [
      ["127.0.0.1:7001,[::1]:7002", "mixes IPv4 (127.0.0.1) and IPv6 (::1)"],
      ["127.0.0.1:7001,10.255.1.1", "127.0.0.1, which 10.255.1.1 cannot reach"],
      ["localhost:7001,127.0.0.1:7001", "are the same address (127.0.0.1)"],
      ["[fe80::1%eth0]:7001,[fd00::1]:7001", "a link-local address has no meaning on another host"],
    ] as const;
    for (const [peers, sentence] of cases) {
      const { code, stderr } = await run(["run", "--peers", peers, "--self", "127.0.0.1:7001"]);
      expect({ peers, code }).toEqual({ peers, code: 2 });
      expect(stderr).toStartWith("giantvm: --peers");
      expect(stderr).toContain(sentence);
      expect(stderr.trimEnd().split("\n").length).toBe(1);
    }
  });
});

function ip(...args: readonly string[]): void {
  const done = Bun.spawnSync(["ip", ...args]);
  if (done.exitCode !== 0) throw new Error(`ip ${args.join(" ")}: ${done.stderr.toString()}`);
}

/** An interface counts as one of the host's once its carrier is there. */
async function carrier(space: string): Promise<void> {
  for (let tries = 0; tries < 1000; tries += 1) {
    const seen = Bun.spawnSync(["ip", "-n", space, "-br", "link", "show", "gvm0"]);
    if (/\sUP\s/.test(seen.stdout.toString())) return;
    await Bun.sleep(5);
  }
  throw new Error(`gvm0 in ${space} does not come up`);
}

/**
 * Two network namespaces joined by a link, each with its address; they are gone afterwards.
 * @param mtus Of the two ends: what is larger than the far one is dropped without a word.
 */
async function inSpaces<Result>(
  addresses: readonly [string, string],
  use: (spaces: readonly [string, string]) => Promise<Result>,
  mtus: readonly [number, number] = [1500, 1500],
): Promise<Result> {
  const spaces = [`gvm-self-a-${process.pid}`, `gvm-self-b-${process.pid}`] as const;
  try {
    for (const space of spaces) ip("netns", "add", space);
    ip("-n", spaces[0], "link", "add", "gvm0", "type", "veth", "peer", "gvm0", "netns", spaces[1]);
    for (const [index, space] of spaces.entries()) {
      const address = addresses[index]!;
      // Without duplicate address detection an IPv6 address serves at once.
      const six = address.includes(":");
      const assign = [`${address}/${six ? 64 : 24}`, "dev", "gvm0", ...(six ? ["nodad"] : [])];
      ip("-n", space, "addr", "add", ...assign);
      ip("-n", space, "link", "set", "gvm0", "mtu", String(mtus[index]), "up");
    }
    for (const space of spaces) await carrier(space);
    return await use(spaces);
  } finally {
    for (const space of spaces) Bun.spawnSync(["ip", "netns", "del", space]);
  }
}

/** A node in each space, without --self. */
async function runIn(spaces: readonly string[], addresses: readonly string[]) {
  const words = ["run", "--local-memory", "64M", "--peers", addresses.join(","), ...patient];
  const nodes = spaces.map((space) =>
    Bun.spawn(["ip", "netns", "exec", space, executable, ...words], {
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
    }),
  );
  try {
    return await Promise.all(
      nodes.map(async (node) => ({
        out: await new Response(node.stdout).text(),
        err: await new Response(node.stderr).text(),
        code: await node.exited,
      })),
    );
  } finally {
    for (const node of nodes) node.kill("SIGKILL");
    await Promise.all(nodes.map((node) => node.exited));
  }
}

describe.skipIf((missing ?? noSpaces) !== undefined)("network namespaces", () => {
  for (const addresses of [
    ["10.78.0.1", "10.78.0.2"],
    ["fd00:78::1", "fd00:78::2"],
  ] as const) {
    test(`each node finds itself among ${addresses.join(" and ")}`, async () => {
      const ends = await inSpaces(addresses, (spaces) => runIn(spaces, addresses));
      expect(ends.map(({ code }) => code)).toEqual([0, 0]);
      expect(ends[0]!.out).toContain("verdict pass");
      for (const [index, { err }] of ends.entries()) {
        expect(err).toContain(`node ${index} of 2 on ${addresses[index]}:7777`);
        expect(err).toContain("there is no authentication yet");
      }
    }, 120_000);
  }

  test("where one has jumbo frames and the other not, the guest runs, and it is said", async () => {
    const addresses = ["10.78.2.1", "10.78.2.2"] as const;
    const ends = await inSpaces(addresses, (spaces) => runIn(spaces, addresses), [9000, 1500]);
    expect(ends.map(({ code }) => code)).toEqual([0, 0]);
    expect(ends[0]!.out).toContain("verdict pass");
    expect(ends[0]!.err).toMatch(/node 1 \(.*\) gets no datagrams of 8972 bytes, only small ones/);
    expect(ends[1]!.err).not.toContain("gets no datagrams");
  }, 120_000);

  test("a filter that lets only the port of --peers pass is named on both nodes", async () => {
    const addresses = ["10.78.1.1", "10.78.1.2"] as const;
    const ends = await inSpaces(addresses, (spaces) => {
      const dataPorts = ["ipproto", "udp", "dport", "20000-65534"];
      ip("-n", spaces[0], "rule", "add", "pref", "5", ...dataPorts, "blackhole");
      return runIn(spaces, addresses);
    });
    for (const { code, err } of ends) {
      expect(err).toMatch(/node \d \(.*\) was lost: its engine was never heard, let all UDP/);
      expect(code).toBe(5);
    }
  }, 120_000);
});
