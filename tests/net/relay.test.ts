/** @module The relay between test namespaces: what it refuses, and that nothing outlives a test. */

import { beforeAll, describe, expect, test } from "bun:test";
import { readdirSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { buildProgram } from "../zig.ts";
import { Network, networkMissing } from "./network.ts";

const reason = networkMissing();
if (reason !== undefined) console.warn(`SKIPPED: namespaces joined by a relay: ${reason}`);

/** Starts a network with a process in it, tells its namespaces, and waits to be killed. */
const abandoned = `
  import { readlinkSync } from "node:fs";
  import { Network } from ${JSON.stringify(join(import.meta.dir, "network.ts"))};
  const network = await Network.start(2, {});
  for (const { prefix } of network.sites) {
    const command = [...prefix, "sh", "-c", "readlink /proc/self/ns/net; exec sleep 1000"];
    Bun.spawn(command, { stdin: "ignore", stdout: "inherit", stderr: "inherit" });
  }
`;

function usedNamespaces(): readonly string[] {
  const processes = readdirSync("/proc").filter((name) => /^\d+$/.test(name));
  return processes.flatMap((pid) => {
    try {
      return [readlinkSync(`/proc/${pid}/ns/net`)];
    } catch {
      return []; // It has ended meanwhile.
    }
  });
}

// Built before, so that no test's time is the compiler's.
beforeAll(() => void buildProgram("relay"), 300_000);

test.each([
  [["nodes=0"], "nodes is from 1 to 16"],
  [["nodes=2", "los=5%"], "los=5%: no such option"],
  [["loss=5"], "loss=5: loss is a chance from 0% to 100%"],
  [["mtu=100"], "mtu is from 576 to 9216"],
] as const)(
  "the relay refuses %p",
  (words, sentence) => {
    const done = Bun.spawnSync([buildProgram("relay"), ...words]);
    expect(done.exitCode).toBe(2);
    expect(done.stderr.toString()).toStartWith(`relay: ${sentence}`);
  },
  60_000,
);

describe.skipIf(reason !== undefined)("namespaces", () => {
  test("nodes reach each other, unless their direction is closed", async () => {
    await using network = await Network.start(3, {});
    // Nobody listens there, and the other kernel's answer says so; no answer is bash's code 142.
    const reaches = (from: number, to: number) => {
      const talk = `exec 3<>/dev/udp/${network.site(to).address}/9; echo >&3; read -t 1 -u 3`;
      const command = [...network.site(from).prefix, "bash", "-c", talk];
      return Bun.spawnSync(command).exitCode !== 142;
    };
    expect([reaches(0, 1), reaches(1, 2), reaches(2, 0)]).toEqual([true, true, true]);
    await network.command("cut", [[1, 2]]);
    expect([reaches(1, 2), reaches(2, 1)]).toEqual([false, false]);
    expect([reaches(0, 1), reaches(2, 0)]).toEqual([true, true]);
    await network.command("heal", [[1, 2]]);
    expect(reaches(1, 2)).toBe(true);
    expect(await network.end()).toMatchObject({ "cut off": 2, lost: 0, dropped: 0 });
  }, 60_000);

  test("end with the test, even one that is killed", async () => {
    const child = Bun.spawn([process.execPath, "-e", abandoned], {
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
    });
    let text = "";
    const decoder = new TextDecoder();
    // Ends when nobody holds the output any more, the processes in the namespaces included.
    for await (const chunk of child.stdout) {
      text += decoder.decode(chunk, { stream: true });
      if (text.match(/\]\n/g)?.length === 2) child.kill("SIGKILL");
    }
    // So does the relay's, which it shares.
    await new Response(child.stderr).text();
    const namespaces = text.trim().split("\n");
    expect(namespaces.length).toBe(2);
    const used = usedNamespaces();
    expect(namespaces.filter((one) => used.includes(one))).toEqual([]);
  }, 60_000);
});
