/**
 * @module Each boot protocol on a real /dev/kvm: kernels of a few bytes tell what they were told.
 * The files are on node 0 alone, also where the machine has two nodes.
 */

import { describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { freePorts } from "../../src/net/ports.ts";
import { viewOf } from "../../src/machine/bytes.ts";
import { e820, e820Type } from "../../src/machine/e820.ts";
import { boot } from "../../src/machine/map.ts";
import { biosElf, elfFile, multibootElf, multibootFlat, pvhElf } from "../kernels.ts";
import { kvmMissing, start, temporaryFolder } from "../program.ts";
import { hex } from "../tiny-guest.ts";

const missing = kvmMissing();
if (missing !== undefined) console.warn(`SKIPPED: boot protocols: ${missing}`);

const megabytes = 64;
const initrd = Uint8Array.from({ length: 5000 }, (_, i) => (i * 7) & 0xff);
const second = Uint8Array.of(0xde, 0xad, 0xbe, 0xef);

/** Runs a kernel with two modules over so many nodes; the lines it has printed, and the paths. */
async function told(kernel: Uint8Array, nodes: number) {
  using folder = temporaryFolder();
  const paths = ["kernel", "initrd", "second"].map((name) => join(folder.path, name));
  const [kernelPath, initrdPath, secondPath] = paths as [string, string, string];
  for (const [i, bytes] of [kernel, initrd, second].entries()) writeFileSync(paths[i]!, bytes);
  const peers = (await freePorts(nodes)).map((port) => `127.0.0.1:${port}`);
  const files = ["--kernel", kernelPath, "--initrd", initrdPath];
  const words = ["--modules", `${secondPath} two words`, "--append", "one=1 two"];
  const common = ["run", "-v", "--local-memory", `${megabytes}M`, "--silence", "20000"];
  const own = [...common, ...files, ...words];
  const started = peers.map((self, node) =>
    start([...(node === 0 ? own : common), "--peers", peers.join(","), "--self", self]),
  );
  const ends = await Promise.all(started.map((node) => node.finished));
  for (const { code, signal, stderr } of ends) {
    expect({ code, signal, stderr }).toEqual({ code: 0, signal: null, stderr });
  }
  const shown = /guest command line: (.*)/.exec(ends[0]!.stderr)?.[1];
  return { lines: ends[0]!.stdout.split("\n"), shown, kernelPath, initrdPath, secondPath };
}

function words(bytes: Uint8Array): readonly number[] {
  return Array.from({ length: bytes.length / 4 }, (_, i) => viewOf(bytes).getUint32(4 * i, true));
}

function ranges(nodes: number) {
  const each = { cpus: 1, ramPages: megabytes * 256 };
  return e820(Array.from({ length: nodes }, () => each));
}

/** Nothing of it is loaded: the header behind it says what is. */
const otherElf = elfFile({
  bits: 64,
  entry: 0,
  segments: [{ gpa: 0x80_0000, bytes: new Uint8Array(64).fill(0xcc) }],
});

const multibootKernels = [
  ["an ELF32 file", multibootElf(32), 1],
  ["an ELF32 file with addresses of its own, over two nodes", multibootElf(32, 3, 0xc010_0000), 2],
  ["an ELF64 file", multibootElf(64), 1],
  ["a flat file that says its addresses", multibootFlat(), 1],
  ["an ELF64 file whose header says its addresses", multibootFlat(otherElf), 1],
] as const;

describe.skipIf(missing !== undefined)("multiboot 1", () => {
  for (const [name, kernel, nodes] of multibootKernels) {
    test(`${name}: magic, information, command line, memory map, modules`, async () => {
      const { lines, shown, kernelPath, initrdPath, secondPath } = await told(kernel, nodes);
      const [info, commandLine, loader, map, zeros, ...modules] = lines;
      const [flags, lower, upper] = words(hex(info!));
      expect([flags, lower, upper]).toEqual([0x24d, 639, (nodes * megabytes - 1) * 1024]);
      expect(words(hex(info!))[5]).toBe(2);
      expect([commandLine, loader]).toEqual([`${kernelPath} one=1 two`, "GiantVM"]);
      expect(shown).toBe(commandLine);
      expect(zeros).toBe("00000000");
      const entries = ranges(nodes).flatMap(({ first, length, type }) => {
        return [20, first, 0, length, 0, e820Type[type]];
      });
      expect(words(hex(map!))).toEqual(entries);
      expect(modules).toEqual([
        initrdPath,
        Buffer.from(initrd).toString("hex"),
        `${secondPath} two words`,
        "deadbeef",
        "",
      ]);
    }, 120_000);
  }

  test("a kernel that asks for video is told of the text screen", async () => {
    const info = hex((await told(multibootElf(32, 7), 1)).lines[0]!);
    expect(words(info)[0]).toBe(0x124d);
    const screen = words(info.subarray(88, 108));
    expect(screen).toEqual([0xb8000, 0, 160, 80, 25]);
    expect([...info.subarray(108, 110)]).toEqual([16, 2]);
  }, 120_000);

  test("each BIOS call of a kernel is refused, and comes back as it went", async () => {
    expect((await told(biosElf(), 1)).lines).toEqual(["y".repeat(16), ""]);
  }, 120_000);
});

describe.skipIf(missing !== undefined)("PVH", () => {
  for (const [name, kernel, nodes] of [
    ["an ELF64 file", pvhElf(64), 1],
    ["an ELF64 file over two nodes", pvhElf(64), 2],
    ["an ELF32 file", pvhElf(32), 1],
  ] as const) {
    test(`${name}: start information, command line, memory map, modules, RSDP`, async () => {
      const { lines, shown } = await told(kernel, nodes);
      expect(shown).toBe("one=1 two");
      const [info, commandLine, map, zeros, rsdp, ...modules] = lines;
      const [magic, version, flags, count] = words(hex(info!));
      expect([magic, version, flags, count]).toEqual([0x336ec578, 1, 0, 2]);
      expect(viewOf(hex(info!)).getBigUint64(32, true)).toBe(BigInt(boot.acpiTables));
      expect(commandLine).toBe("one=1 two");
      expect(zeros).toBe("00000000");
      expect(Buffer.from(rsdp!, "hex").toString()).toBe("RSD PTR ");
      const entries = ranges(nodes).flatMap(({ first, length, type }) => {
        return [first, 0, length, 0, e820Type[type], 0];
      });
      expect(words(hex(map!))).toEqual(entries);
      expect(modules).toEqual([Buffer.from(initrd).toString("hex"), "two words", "deadbeef", ""]);
    }, 120_000);
  }
});
