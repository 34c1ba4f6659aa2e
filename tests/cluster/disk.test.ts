/**
 * @module A disk as a guest of a few bytes uses it: on one node, and with the disk on node 1 and
 * the vCPU on node 0, so that registers, rings and data cross. That Linux's driver works is shown
 * in the lab (tests/lab).
 */

import { describe, expect, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { freePorts } from "../../src/net/ports.ts";
import { kvmMissing, start, temporaryFolder } from "../program.ts";
import {
  awaitUsed,
  busy,
  data,
  driver,
  faulty,
  head,
  program,
  readThenWrite,
  requests,
  ring,
  rings,
  store,
  sum,
  word,
} from "../disk-guest.ts";
import { hex, tinyGuest } from "../tiny-guest.ts";

const missing = kvmMissing();
if (missing !== undefined) console.warn(`SKIPPED: disks: ${missing}`);

function image(folder: string, name = "disk.img"): string {
  const path = join(folder, name);
  const bytes = Buffer.alloc(64 * 512);
  for (let at = 0; at < 512; at += 1) bytes[2 * 512 + at] = (at * 5) & 0xff;
  writeFileSync(path, bytes);
  return path;
}

async function cluster(nodes: number, folder: string, kernel: Uint8Array, disk: string) {
  const file = join(folder, "guest.elf");
  writeFileSync(file, kernel);
  const peers = (await freePorts(nodes)).map((port) => `127.0.0.1:${port}`);
  const reports = peers.map((_, node) => join(folder, `report-${node}`));
  const words = `run -v --local-memory 64M --silence 20000 --device-node ${nodes - 1}`.split(" ");
  const started = peers.map((self, node) => {
    const own = ["--peers", peers.join(","), "--self", self, "--report", reports[node]!];
    const loads = node === 0 ? ["--kernel", file] : [];
    return start([...words, "--disk", disk, ...own, ...loads]);
  });
  const ends = await Promise.all(started.map((node) => node.finished));
  const counters = await Promise.all(
    reports.map(async (path) => (await Bun.file(path).json()).counters as Record<string, number>),
  );
  return { ends, counters };
}

describe.skipIf(missing !== undefined)("a disk", () => {
  for (const nodes of [1, 2]) {
    test(`on node ${nodes - 1}, used by the vCPU of node 0`, async () => {
      using folder = temporaryFolder();
      const path = image(folder.path);
      const before = readFileSync(path);
      const { ends, counters } = await cluster(nodes, folder.path, readThenWrite, `path=${path}`);
      for (const { code, signal, stderr } of ends) {
        expect({ code, signal, stderr }).toEqual({ code: 0, signal: null, stderr });
      }
      const after = readFileSync(path);
      const sector = (number: number) => after.subarray(number * 512, number * 512 + 512);
      expect(sector(3)).toEqual(before.subarray(2 * 512, 3 * 512));
      expect(sector(2)).toEqual(before.subarray(2 * 512, 3 * 512));
      expect(after.length).toBe(before.length);
      const own = counters[nodes - 1]!;
      expect([own["diskReads"], own["diskWrites"], own["diskErrors"]]).toEqual([1, 1, 0]);
      expect([own["diskBytesRead"], own["diskBytesWritten"]]).toEqual([512, 512]);
      if (nodes === 1) return;
      // Registers are this node's, rings and data were the other's.
      expect(own["ioServed"]).toBeGreaterThan(10);
      expect(own["faultsRead"]! + own["faultsWrite"]!).toBeGreaterThan(2);
    });
  }

  test("given with ro is not written, and the guest hears so", async () => {
    using folder = temporaryFolder();
    const path = image(folder.path);
    const before = readFileSync(path);
    const { ends, counters } = await cluster(1, folder.path, readThenWrite, `path=${path},ro`);
    expect(ends.map(({ code }) => code)).toEqual([1]);
    expect(readFileSync(path)).toEqual(before);
    expect([counters[0]!["diskReads"], counters[0]!["diskErrors"]]).toEqual([1, 1]);
  });

  test("whose driver is faulty asks for its reset, and the user hears why", async () => {
    using folder = temporaryFolder();
    const { ends } = await cluster(2, folder.path, faulty, `path=${image(folder.path)}`);
    expect(ends.map(({ code }) => code)).toEqual([0, 0]);
    const sentence = "disk 0: the guest's driver is faulty, its descriptors break the rules";
    expect(ends[1]!.stderr).toContain(sentence);
    expect(ends[0]!.stderr).not.toContain("disk 0");
  });

  test("is kept over two resets of the guest", async () => {
    using folder = temporaryFolder();
    const path = image(folder.path);
    // The first byte of sector 2 counts the boots.
    const reset = hex("66baf90c b006 ee f4 ebfd"); // mov dx,0xcf9; mov al,6; out dx,al; hlt
    const count = Buffer.concat([
      hex("bb"),
      word(data),
      hex("fe03"), // inc byte [rbx]
      store([rings.available + 2, 2, 2]),
      ring,
      awaitUsed(2),
      hex("bb"),
      word(data),
      hex("8a03 3c03"), // mov al,[rbx]; cmp al,3
      hex(`75${sum.length.toString(16).padStart(2, "0")}`),
      sum,
      reset,
    ]);
    // The same sector is read and written.
    const stores = requests.map((each) =>
      each[0] === head[1] + 8 ? ([each[0], 2, 4] as const) : each,
    );
    const guest = program([...stores.map(store), ...driver.map(store), ring, awaitUsed(1), count]);
    const { ends } = await cluster(2, folder.path, guest, `path=${path}`);
    for (const { code, signal, stderr } of ends) {
      expect({ code, signal, stderr }).toEqual({ code: 0, signal: null, stderr });
      expect(stderr.match(/the guest restarts/g)?.length).toBe(2);
    }
    expect(readFileSync(path)[2 * 512]).toBe(3);
  }, 120_000);

  test("has one virtual machine that writes, or several that read", async () => {
    using folder = temporaryFolder();
    const path = image(folder.path);
    const kernel = join(folder.path, "guest.elf");
    // hlt; jmp $-1
    writeFileSync(kernel, tinyGuest(hex("f4 ebfd")));
    const started = async (disk: string) => {
      const [port] = await freePorts(1);
      const words = `run -v --local-memory 64M --peers 127.0.0.1:${port} --kernel ${kernel}`;
      return start([...words.split(" "), "--disk", disk]);
    };
    const writer = await started(`path=${path}`);
    await writer.logged("the VM runs");
    for (const [disk, cure] of [
      [`path=${path}`, "end that one first, or give ro to both"],
      [`path=${path},ro`, "end that one first"],
    ] as const) {
      const refused = await (await started(disk)).finished;
      expect(refused.stderr).toContain(
        `--disk ${path}: another virtual machine has it open: ${cure}`,
      );
      expect(refused.code).toBe(2);
    }
    writer.process.kill("SIGKILL");
    await writer.finished;
    const readers = [await started(`path=${path},ro`), await started(`path=${path},ro`)];
    await Promise.all(readers.map((reader) => reader.logged("the VM runs")));
    for (const reader of readers) reader.process.kill("SIGTERM");
    const codes = await Promise.all(readers.map(async ({ finished }) => (await finished).code));
    expect(codes).toEqual([143, 143]);
  }, 120_000);

  test("at work when a node dies does not keep the VM from ending", async () => {
    using folder = temporaryFolder();
    const path = image(folder.path);
    const kernel = join(folder.path, "guest.elf");
    writeFileSync(kernel, busy);
    const peers = (await freePorts(2)).map((port) => `127.0.0.1:${port}`);
    const words = `run -v --local-memory 64M --silence 8000 --device-node 1 --disk path=${path}`;
    const nodes = peers.map((self, node) => {
      const loads = node === 0 ? ["--kernel", kernel] : [];
      return start([...words.split(" "), "--peers", peers.join(","), "--self", self, ...loads]);
    });
    while (readFileSync(path)[3 * 512] !== 0x5a) {
      expect(nodes.map(({ process }) => process.exitCode)).toEqual([null, null]);
      await Bun.sleep(10);
    }
    nodes[0]!.process.kill("SIGKILL");
    const { code, stderr } = await nodes[1]!.finished;
    expect(stderr).toContain("was lost");
    expect(code).toBe(5);
    await nodes[0]!.finished;
  });

  test("must be the same on all nodes", async () => {
    using folder = temporaryFolder();
    const path = image(folder.path);
    const peers = (await freePorts(2)).map((port) => `127.0.0.1:${port}`);
    const nodes = peers.map((self, node) => {
      const own = node === 0 ? ["--disk", `path=${path}`] : [];
      return start(["run", "--peers", peers.join(","), "--self", self, ...own]);
    });
    for (const { code, stderr } of await Promise.all(nodes.map((node) => node.finished))) {
      expect(code).toBe(4);
      expect(stderr).toMatch(/has --disk none, node 0 .* has path=.*: use one value/);
    }
  });

  test("of a size that is no number of sectors is refused", async () => {
    using folder = temporaryFolder();
    const path = join(folder.path, "odd.img");
    for (const [bytes, why] of [
      [1000, "has 1000 bytes, which are no whole sectors of 512"],
      [0, "is empty; give it a size"],
    ] as const) {
      writeFileSync(path, Buffer.alloc(bytes));
      const end = await start(["run", "--disk", `path=${path}`]).finished;
      expect(end.stderr).toContain(`--disk ${path}: ${why}`);
      expect(end.code).toBe(2);
    }
  });
});
