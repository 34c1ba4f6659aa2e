/**
 * @module A disk as a guest of a few bytes uses it: on one node, and with the disk on node 1 and
 * the vCPU on node 0, so that registers, rings and data cross. The guest's driver is a table of
 * stores; that Linux's driver works is shown in the lab (tests/lab).
 */

import { describe, expect, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { freePorts, kvmMissing, start, temporaryFolder } from "../program.ts";
import { hex, tinyGuest } from "../tiny-guest.ts";

const missing = kvmMissing();
if (missing !== undefined) console.warn(`SKIPPED: disks: ${missing}`);

/** Of src/machine/map.ts: the first BAR of the first device, and its configuration space. */
const bar = 0xc000_0000;
const command = 0xe000_8004;
/** Guest memory of the driver: three rings, then head, data and status of each of two requests. */
const rings = { descriptors: 0x110_0000, available: 0x110_1000, used: 0x110_2000 };
const head = [0x110_3000, 0x110_3100] as const;
const data = 0x110_4000;
const status = [0x110_5000, 0x110_5001] as const;

type Store = readonly [address: number, value: number, bytes: 1 | 2 | 4];

function descriptor(index: number, gpa: number, bytes: number, flags: number): readonly Store[] {
  const at = rings.descriptors + 16 * index;
  return [
    [at, gpa, 4],
    [at + 8, bytes, 4],
    [at + 12, flags, 2],
    [at + 14, index + 1, 2],
  ];
}

/** What a driver does up to DRIVER_OK: memory and bus master on, features, one queue. */
const driver: readonly Store[] = [
  [command, 6, 2],
  [bar + 20, 3, 1],
  [bar + 8, 1, 4],
  [bar + 12, 1, 4],
  [bar + 20, 11, 1],
  [bar + 24, 8, 2],
  [bar + 32, rings.descriptors, 4],
  [bar + 40, rings.available, 4],
  [bar + 48, rings.used, 4],
  [bar + 28, 1, 2],
  [bar + 20, 15, 1],
];

/** Reads sector 2 to `data`, then writes what came to sector 3: data and head are one page each. */
const requests: readonly Store[] = [
  [head[0], 0, 4],
  [head[0] + 8, 2, 4],
  ...descriptor(0, head[0], 16, 1),
  ...descriptor(1, data, 512, 3),
  ...descriptor(2, status[0], 1, 2),
  [head[1], 1, 4],
  [head[1] + 8, 3, 4],
  ...descriptor(3, head[1], 16, 1),
  ...descriptor(4, data, 512, 1),
  ...descriptor(5, status[1], 1, 2),
  [status[0], 0xee, 1],
  [status[1], 0xee, 1],
  [rings.available + 4, 0, 2],
  [rings.available + 6, 3, 2],
  [rings.available + 2, 1, 2],
];

function word(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value >>> 0);
  return bytes;
}

/** mov ebx,address; mov al/ax/eax,value; mov [rbx],al/ax/eax */
function store([address, value, bytes]: Store): Buffer {
  const opcode = { 1: "8803", 2: "668903", 4: "8903" }[bytes];
  return Buffer.concat([hex("bb"), word(address), hex("b8"), word(value), hex(opcode)]);
}

/** mov ebx,used+2; 0: pause; mov ax,[rbx]; cmp ax,count; jne 0 */
function awaitUsed(count: number): Buffer {
  const wait = `f390 668b03 663d${count.toString(16).padStart(2, "0")}00 75f5`;
  return Buffer.concat([hex("bb"), word(rings.used + 2), hex(wait)]);
}

/** `ring` is the doorbell. Exits with the sum of both status bytes: 0 when both went well. */
const ring = store([bar + 0x3000, 0, 2]);
const sum = Buffer.concat([
  hex("bb"),
  word(status[0]),
  hex("8a03 024301 e6f4 f4 ebfd"), // mov al,[rbx]; add al,[rbx+1]; out 0xf4,al; hlt
]);

function program(parts: readonly Uint8Array[]): Uint8Array {
  return tinyGuest(Buffer.concat(parts));
}

const readThenWrite = program([
  ...requests.map(store),
  ...driver.map(store),
  ring,
  awaitUsed(1),
  store([rings.available + 2, 2, 2]),
  ring,
  awaitUsed(2),
  sum,
]);

/** Writes one sector, again and again, for ever. */
const busy = (() => {
  const stores: readonly Store[] = [
    [head[0], 1, 4],
    [head[0] + 8, 3, 4],
    [data, 0x5a5a5a5a, 4],
    ...descriptor(0, head[0], 16, 1),
    ...descriptor(1, data, 512, 1),
    ...descriptor(2, status[0], 1, 2),
  ];
  const turn = Buffer.concat([
    hex("41ffc4 bb"), // inc r12d; mov ebx,available+2
    word(rings.available + 2),
    hex("66448923"), // mov [rbx],r12w
    ring,
    hex("bb"), // mov ebx,used+2
    word(rings.used + 2),
    hex("f390 66443923 75f8"), // 0: pause; cmp [rbx],r12w; jne 0
  ]);
  const again = Buffer.concat([hex("e9"), word(-turn.length - 5)]);
  // xor r12d,r12d
  return program([...stores.map(store), ...driver.map(store), hex("4531e4"), turn, again]);
})();

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
      // Rings and data went both ways.
      if (nodes === 2) expect(own["pagesReceived"]).toBeGreaterThan(2);
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
  }, 30_000);

  test("has one virtual machine that writes, or several that read", async () => {
    using folder = temporaryFolder();
    const path = image(folder.path);
    const kernel = join(folder.path, "guest.elf");
    // hlt; jmp $-1
    writeFileSync(kernel, tinyGuest(hex("f4 ebfd")));
    const running = async (disk: string) => {
      const [port] = await freePorts(1);
      const words = `run -v --local-memory 64M --peers 127.0.0.1:${port} --kernel ${kernel}`;
      const vm = start([...words.split(" "), "--disk", disk]);
      return { vm, up: vm.logged("the VM runs") };
    };
    const writer = await running(`path=${path}`);
    await writer.up;
    for (const [disk, cure] of [
      [`path=${path}`, "end that one first, or give ro to both"],
      [`path=${path},ro`, "end that one first"],
    ] as const) {
      const refused = await (await running(disk)).vm.finished;
      expect(refused.stderr).toContain(
        `--disk ${path}: another virtual machine has it open: ${cure}`,
      );
      expect(refused.code).toBe(2);
    }
    writer.vm.process.kill("SIGKILL");
    await writer.vm.finished;
    const readers = [await running(`path=${path},ro`), await running(`path=${path},ro`)];
    await Promise.all(readers.map(({ up }) => up));
    for (const { vm } of readers) vm.process.kill("SIGTERM");
    const codes = await Promise.all(readers.map(async ({ vm }) => (await vm.finished).code));
    expect(codes).toEqual([143, 143]);
  }, 30_000);

  test("at work when a node dies does not keep the VM from ending", async () => {
    using folder = temporaryFolder();
    const path = image(folder.path);
    const kernel = join(folder.path, "guest.elf");
    writeFileSync(kernel, busy);
    const peers = (await freePorts(2)).map((port) => `127.0.0.1:${port}`);
    const words = `run -v --local-memory 64M --device-node 1 --disk path=${path}`.split(" ");
    const nodes = peers.map((self, node) => {
      const loads = node === 0 ? ["--kernel", kernel] : [];
      return start([...words, "--peers", peers.join(","), "--self", self, ...loads]);
    });
    while (readFileSync(path)[3 * 512] !== 0x5a) await Bun.sleep(10);
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
    writeFileSync(path, Buffer.alloc(1000));
    const end = await start(["run", "--disk", `path=${path}`]).finished;
    expect(end.stderr).toContain("has 1000 bytes, which are no whole sectors of 512");
    expect(end.code).toBe(2);
  });
});
