/**
 * @module A VM of two nodes that stays up, asked over the control socket of either node: what each
 * vCPU does, what is known of a page, memory through coherence, and gdb.
 */

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { freePorts } from "../../src/net/ports.ts";
import { ControlClient } from "../../src/control/client.ts";
import { executable, kvmMissing, run, type Started, start, temporaryFolder } from "../program.ts";
import { toolMissing } from "../tools.ts";

const missing = kvmMissing();
if (missing !== undefined) console.warn(`SKIPPED: debugging over two nodes: ${missing}`);
const noGdb = missing ?? toolMissing("gdb", "gdb");
if (noGdb !== undefined) console.warn(`SKIPPED: gdb on a VM of two nodes: ${noGdb}`);

const infoGpa = "0x10000";
const imageGpa = 0x10_0000;

type Vm = {
  readonly nodes: readonly Started[];
  readonly controls: readonly string[];
  readonly folder: ReturnType<typeof temporaryFolder>;
};

async function startVm(): Promise<Vm> {
  const folder = temporaryFolder();
  const peers = (await freePorts(2)).map((port) => `127.0.0.1:${port}`);
  const controls = peers.map((_, node) => join(folder.path, `control-${node}`));
  const nodes = peers.map((self, node) => {
    const own = ["--self", self, "--control", controls[node]!];
    // The checks are long, so that the guest is busy as long as anybody asks.
    const common = ["-v", "--local-memory", "64M", "--silence", "60000", "--scale", "10000"];
    return start(["run", ...common, "--peers", peers.join(","), ...own]);
  });
  for (const node of nodes) await node.logged("the VM runs");
  return { nodes, controls, folder };
}

async function stopVm({ nodes, folder }: Vm): Promise<void> {
  nodes[0]!.process.kill("SIGTERM");
  await Promise.all(nodes.map((node) => node.finished));
  folder[Symbol.dispose]();
}

describe.skipIf(missing !== undefined)("a VM of two nodes is asked", () => {
  let vm: Vm;
  beforeAll(async () => {
    vm = await startVm();
  });
  afterAll(() => stopVm(vm));

  const ask = async (node: number, ...words: readonly string[]) => {
    const { code, stdout, stderr } = await run([
      ...(words[0] === "hot" ? [] : ["debug"]),
      ...words,
      "--control",
      vm.controls[node]!,
    ]);
    expect({ words, code, stderr }).toEqual({ words, code: 0, stderr: "" });
    return stdout;
  };

  test("the socket is its user's alone, and a second node does not take it", async () => {
    const path = vm.controls[0]!;
    expect(statSync(path).isSocket()).toBe(true);
    expect(statSync(path).mode & 0o777).toBe(0o600);
    const second = await run(["run", "--local-memory", "64M", "--control", path]);
    expect(second.code).toBe(2);
    expect(second.stderr).toContain("another giantvm listens there");
  });

  test("for the registers of every vCPU, from either node", async () => {
    for (const node of [0, 1]) {
      const text = await ask(node, "registers");
      expect(text).toMatch(/^node 0 \(.*\):\nvCPU 0: [^]*\nnode 1 \(.*\):\nvCPU 1: /);
      // The built-in guest's tables, on both.
      expect(text.match(/cr3=0x200000 /g)?.length).toBe(2);
      expect(text).toMatch(/APIC id 1 x2?APIC enabled/);
    }
    const one = await ask(0, "registers", "1");
    expect(one).toContain("vCPU 1: ");
    expect(one).not.toContain("vCPU 0: ");
    const { code, stderr } = await run(["debug", "registers", "7", "--control", vm.controls[0]!]);
    expect([code, stderr]).toEqual([2, "giantvm: vCPU 7: this VM has none of that number\n"]);
  });

  test("for counters, side by side", async () => {
    const text = await ask(1, "counters");
    expect(text).toMatch(/^ +node 0 +node 1\n/);
    const [, first, second] = /^exits +(\d+) +(\d+)$/m.exec(text)!;
    expect([Number(first) > 0, Number(second) > 0]).toEqual([true, true]);
    // Waits by what was waited for; both nodes have lost pages to each other.
    const again = /^stallsAgain +(\d+) +(\d+)\nstallsAgainNs +(\d+) +(\d+)$/m.exec(text)!;
    expect(again.slice(1).every((value) => Number(value) > 0)).toBe(true);
  });

  test("for memory, which comes to the node that is asked", async () => {
    const image = readFileSync(join(executable, "../guest.bin")).subarray(0, 64);
    for (const node of [0, 1]) {
      expect(await ask(node, "memory", infoGpa, "16")).toContain("  GVMGUEST");
      const dump = await ask(node, "memory", `0x${imageGpa.toString(16)}`, "64");
      const digits = dump
        .match(/(?<=^\w{16} {2}).{47}/gm)!
        .join("")
        .replaceAll(" ", "");
      expect(digits).toBe(image.toString("hex"));
    }
    const outside = await run(["debug", "memory", "0xfee00000", "--control", vm.controls[0]!]);
    expect(outside.code).toBe(4);
    expect(outside.stderr).toContain("no RAM at this address");
  });

  test("for the pages that move most, and for the story of one of them", async () => {
    const hot = await ask(0, "hot", "--top", "3");
    const rows = [...hot.matchAll(/^ +(\d+) +(\d+) {2}(0x\w+) +([\d: ]+?) {2,}(.*)$/gm)];
    expect(rows.length).toBe(3);
    const counts = rows.map((row) => Number(row[1]));
    expect(counts).toEqual(counts.toSorted((a, b) => b - a));
    expect(hot).toContain("tables of the address spaces in use now: ");
    const [, , , gpa = ""] = rows[0]!;
    const page = await ask(1, "page", gpa);
    expect(page).toStartWith(`page ${Number(gpa) / 4096} at ${gpa}, home node `);
    // Only the home has the directory; both have seen the page come and go.
    expect(page.match(/directory: owner/g)?.length).toBe(1);
    expect(page).toMatch(/Data (from|to) node/);
    // Not "fault of thread": what moves most comes in gangs, often with no fault of its own.
    expect(page).toMatch(/mapped to (read|write)/);
  });

  test("a thousand times at once, which are answered or refused, and it goes on", async () => {
    const client = await ControlClient.open(vm.controls[0]!);
    const other = async () => (await client.ask({ ask: "hot" }))[1]!;
    // Long answers, so that they are more than one way holds.
    while (JSON.stringify(await other()).length < 10_000) await Bun.sleep(20);
    const all = await Promise.all(Array.from({ length: 1000 }, other));
    client.close();
    expect(all.some((answer) => "error" in answer)).toBe(true);
    expect(all.some((answer) => "value" in answer)).toBe(true);
    await ask(1, "counters");
  }, 120_000);

  /** What gdb shows and the server says, gdb being served by node 1. */
  const byGdb = async (commands: readonly string[]) => {
    const server = start(["debug", "gdb", "--listen", "0", "--control", vm.controls[1]!]);
    const said = await server.logged("waits for gdb");
    const port = /127\.0\.0\.1:(\d+)/.exec(said)![1]!;
    const all = [`target remote 127.0.0.1:${port}`, ...commands, "detach"];
    const words = all.flatMap((command) => ["-ex", command]);
    const gdb = Bun.spawnSync(["gdb", "-nx", "-batch", ...words]);
    const { code, stderr } = await server.finished;
    expect({ code, stderr }).toMatchObject({ code: 0 });
    return { shown: gdb.stdout.toString() + gdb.stderr.toString(), said: stderr };
  };

  /** The guest goes on: its pages move. */
  const goesOn = async () => {
    const moved = /^\d+ transfers/m;
    const before = moved.exec(await ask(0, "hot"))![0];
    while (moved.exec(await ask(0, "hot"))![0] === before);
  };

  test.skipIf(noGdb !== undefined)(
    "by gdb: threads of both nodes, memory, then it runs on",
    async () => {
      const look = ["info threads", "thread 2", "p/x $cr3", `x/s ${infoGpa}`];
      const { shown } = await byGdb(look);
      for (const part of ["vCPU 0", "vCPU 1", "= 0x200000", "GVMGUEST"]) {
        expect(shown).toContain(part);
      }
      await goesOn();
    },
    120_000,
  );

  test.skipIf(noGdb !== undefined)(
    "by gdb: what it stores in pages of either node, the other node reads",
    async () => {
      // Across the border of the last two pages of each node's memory, which no check uses.
      const borders = [0x3ff_f000, 0x7ff_f000];
      const stores = borders.map(
        (border, index) => `set {unsigned long long}${border - 4} = 0x1122334455667780 + ${index}`,
      );
      const { shown } = await byGdb([
        ...stores,
        `x/gx ${borders[1]! - 4}`,
        "set {char}0x800000000000 = 1",
      ]);
      expect(shown).toContain("0x1122334455667781");
      expect(shown).toContain("Cannot access memory at address 0x800000000000");
      for (const [index, border] of borders.entries()) {
        for (const node of [0, 1]) {
          const bytes = await ask(node, "memory", `${border - 8}`, "16");
          expect(bytes).toContain(` 00 00 00 00 8${index} 77 66 55 `);
          expect(bytes).toContain(" 44 33 22 11 00 00 00 00 ");
        }
      }
      await goesOn();
    },
    120_000,
  );

  test.skipIf(noGdb !== undefined)(
    "by gdb: a software breakpoint is hit, or refused where KVM would not tell of it",
    async () => {
      const code = "x/2xb $where";
      const set = ["thread 2", "set $where = $pc", code, "break *$where"];
      const { shown, said } = await byGdb([...set, "continue", "delete", code]);
      const refused = said.includes("KVM does not report int3 on this host");
      if (refused) console.warn("SKIPPED: a software breakpoint: KVM here does not report int3");
      expect(shown).toMatch(refused ? /Cannot insert breakpoint 1/ : /Breakpoint 1, 0x/);
      // As before, either way.
      const dumps = shown.match(/^0x[0-9a-f]+:\t0x.*$/gm) ?? [];
      expect(dumps.length).toBe(2);
      expect(dumps[1]).toBe(dumps[0]!);
      await goesOn();
    },
    120_000,
  );
});

describe.skipIf(missing !== undefined)("a control socket", () => {
  test("goes with its node; what a dead one left gives way to the next", async () => {
    using folder = temporaryFolder();
    const path = join(folder.path, "control");
    const boot = () => {
      const common = ["run", "-v", "--local-memory", "64M", "--scale", "10000"];
      return start([...common, "--control", path], { cwd: folder.path });
    };
    const first = boot();
    await first.logged("the VM runs");
    first.process.kill("SIGKILL");
    await first.finished;
    expect(statSync(path).isSocket()).toBe(true);
    const nobody = await run(["debug", "counters", "--control", path]);
    expect(nobody.code).toBe(2);
    expect(nobody.stderr).toContain("no node listens there");
    const second = boot();
    await second.logged("the VM runs");
    expect((await run(["debug", "counters"], { env: { GIANTVM_CONTROL: path } })).code).toBe(0);
    second.process.kill("SIGTERM");
    expect((await second.finished).code).toBe(143);
    expect(statSync(path, { throwIfNoEntry: false })).toBeUndefined();
  });

  test("a page that does not come and a node that stands still are told", async () => {
    const vm = await startVm();
    const [, other] = vm.nodes;
    // Home of node 1's memory.
    const remote = "0x5000000";
    try {
      other!.process.kill("SIGSTOP");
      const control = ["--control", vm.controls[0]!];
      const stopped = run(["debug", "counters", "--control", vm.controls[1]!]);
      const memory = await run(["debug", "memory", remote, "16", ...control]);
      expect(memory.code).toBe(4);
      expect(memory.stderr).toContain(`the page at ${remote} did not come within 5 s`);
      const page = await run(["debug", "page", remote, ...control]);
      expect(page.code).toBe(4);
      expect(page.stdout).toContain("asked for to read since ");
      expect(page.stderr).toMatch(/node 1 \(.*\): it has not answered within 10 s/);
      const said = `the node behind ${vm.controls[1]} has not answered within 20 s: it is stopped`;
      expect(await stopped).toMatchObject({ code: 4, stderr: expect.stringContaining(said) });
    } finally {
      other!.process.kill("SIGCONT");
      await stopVm(vm);
    }
  }, 120_000);
});
