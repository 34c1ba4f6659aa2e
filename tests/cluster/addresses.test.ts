/**
 * @module Two nodes by every kind of address: IPv6 in a spelling of its own, names, and network
 * namespaces, where each node finds by itself which of the peers it is.
 */

import { describe, expect, test } from "bun:test";
import { ended, nodeWords } from "../nodes.ts";
import { executable, freePorts, kvmMissing, run, start } from "../program.ts";
import { toolMissing } from "../tools.ts";

const missing = kvmMissing();
if (missing !== undefined) console.warn(`SKIPPED: addresses of a cluster: ${missing}`);
const noSpaces = process.getuid?.() === 0 ? toolMissing("ip", "iproute2") : "root is needed";
if (noSpaces !== undefined) console.warn(`SKIPPED: nodes in network namespaces: ${noSpaces}`);

async function passes(peers: readonly string[], selves: readonly string[]): Promise<void> {
  const ends = await ended(selves.map((self) => start(nodeWords(peers, self))));
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
  }, 60_000);

  test("by name", async () => {
    const peers = (await freePorts(2)).map((port) => `localhost:${port}`);
    await passes(peers, peers);
  }, 60_000);

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

describe.skipIf((missing ?? noSpaces) !== undefined)("network namespaces", () => {
  for (const addresses of [
    ["10.78.0.1", "10.78.0.2"],
    ["fd00:78::1", "fd00:78::2"],
  ] as const) {
    test(`each node finds itself among ${addresses.join(" and ")}`, async () => {
      const spaces = ["a", "b"].map((side) => `gvm-self-${side}-${process.pid}`);
      const [left = "", right = ""] = spaces;
      const started: Bun.Subprocess<"ignore", "pipe", "pipe">[] = [];
      try {
        for (const space of spaces) ip("netns", "add", space);
        ip("-n", left, "link", "add", "gvm0", "type", "veth", "peer", "gvm0", "netns", right);
        for (const [index, space] of spaces.entries()) {
          const address = addresses[index]!;
          // Without duplicate address detection an IPv6 address serves at once.
          const six = address.includes(":");
          const assign = [`${address}/${six ? 64 : 24}`, "dev", "gvm0", ...(six ? ["nodad"] : [])];
          ip("-n", space, "addr", "add", ...assign);
          ip("-n", space, "link", "set", "gvm0", "up");
        }
        for (const space of spaces) await carrier(space);
        for (const space of spaces) {
          const command = ["run", "--local-memory", "64M", "--peers", addresses.join(",")];
          started.push(
            Bun.spawn(["ip", "netns", "exec", space, executable, ...command], {
              stdin: "ignore",
              stdout: "pipe",
              stderr: "pipe",
            }),
          );
        }
        const texts = await Promise.all(
          started.map(async (node) => ({
            out: await new Response(node.stdout).text(),
            err: await new Response(node.stderr).text(),
            code: await node.exited,
          })),
        );
        expect(texts.map(({ code }) => code)).toEqual([0, 0]);
        expect(texts[0]!.out).toContain("verdict pass");
        for (const [index, { err }] of texts.entries()) {
          expect(err).toContain(`node ${index} of 2 on ${addresses[index]}:7777`);
          expect(err).toContain("there is no authentication yet");
        }
      } finally {
        for (const node of started) node.kill("SIGKILL");
        await Promise.all(started.map((node) => node.exited));
        for (const space of spaces) Bun.spawnSync(["ip", "netns", "del", space]);
      }
    }, 60_000);
  }
});
