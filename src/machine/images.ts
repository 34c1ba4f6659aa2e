/**
 * @module What a Linux guest finds in memory when its first vCPU starts: kernel, initrd, command
 * line, zero page, page tables, ACPI and MP tables. One node loads all of it; the others get the
 * pages they touch by fault, so everything that fits goes near the bottom, into the loading node's
 * share.
 */

import type { BootState } from "../node/dataplane.ts";
import { acpiTables } from "./acpi/index.ts";
import { alignUp } from "./bytes.ts";
import { type BzImage, readBzImage } from "./bzimage.ts";
import { e820 } from "./e820.ts";
import { isElf, readElf } from "./elf.ts";
import { MachineError } from "./errors.ts";
import { boot, lowRamEnd, type NodeShare, ramBytes } from "./map.ts";
import { mpTables } from "./mptables.ts";
import { bootGdt, identityTables } from "./pagetables.ts";
import { zeroPage } from "./zeropage.ts";

export type Segment = { readonly gpaU64: bigint; readonly bytes: Uint8Array };
export type GuestImages = {
  readonly segments: readonly Segment[];
  readonly boot: BootState;
  readonly commandLine: string;
};

export type LinuxInput = {
  readonly kernel: { readonly name: string; readonly bytes: Uint8Array<ArrayBuffer> };
  readonly initrd: Uint8Array | undefined;
  /** undefined: the tuned default of `defaultCommandLine`. */
  readonly append: string | undefined;
  readonly nodes: readonly NodeShare[];
  readonly tscKhz: number;
  /** Where the PCI devices are; node 0 when nobody says. */
  readonly deviceNode?: number;
};

type Kernel = {
  readonly segments: readonly Segment[];
  readonly entry: number;
  readonly first: number;
  /** First free byte behind all the kernel uses before it knows the memory map. */
  readonly end: number;
  readonly header: BzImage | undefined;
};

const megabyte = 1 << 20;
const memoryMin = 64 * megabyte;
const commandLineMax = 2047;
/** Offset of the 64-bit entry in a bzImage's protected-mode part. */
const entry64 = 0x200;

/**
 * What the kernel is told when the user says nothing.
 * `tsc_early_khz`: the PIT counts but is slow to read, and without a rate Linux on AMD would
 * calibrate against it. `tsc=reliable`: all nodes' TSCs are equal by construction; a watchdog and
 * a warp test would only be a storm of remote faults. `numa_balancing=disable` over several nodes:
 * its scans unmap pages to see who touches them, and each such write of a page table is remote to
 * somebody. `quiet`: a console character costs two exits.
 */
export function defaultCommandLine(tscKhz: number, nodes: number): string {
  const numa = nodes > 1 ? "numa_balancing=disable " : "";
  return `console=ttyS0 panic=-1 tsc_early_khz=${tscKhz} clocksource=tsc tsc=reliable ${numa}quiet`;
}

function elfKernel(bytes: Uint8Array, name: string, header: BzImage | undefined): Kernel {
  const elf = readElf(bytes, name);
  const sorted = elf.segments.toSorted((a, b) => (a.gpaU64 < b.gpaU64 ? -1 : 1));
  let end = 0;
  for (const { gpaU64, memoryBytes } of sorted) {
    if (Number(gpaU64) < end) throw new MachineError(`${name} loads two segments to one address`);
    end = Number(gpaU64) + memoryBytes;
  }
  const first = Number(sorted[0]?.gpaU64);
  return {
    segments: elf.segments,
    entry: Number(elf.entryU64),
    first,
    end: Math.max(end, first + (header?.initBytes ?? 0)),
    header,
  };
}

function loadKernel(bytes: Uint8Array<ArrayBuffer>, name: string): Kernel {
  if (isElf(bytes)) return elfKernel(bytes, name, undefined);
  const image = readBzImage(bytes, name);
  if (image.payload !== undefined) return elfKernel(image.payload, name, image);
  const start = Number(image.preferredAddressU64);
  return {
    segments: [{ gpaU64: image.preferredAddressU64, bytes: image.kernel }],
    entry: start + entry64,
    first: start,
    end: start + Math.max(image.initBytes, image.kernel.length),
    header: image,
  };
}

/** Behind the kernel, page-aligned; everything must lie in RAM below 3 GiB. */
function placeInitrd(kernel: Kernel, length: number, ram: number): number {
  const at = alignUp(kernel.end, megabyte);
  const limit = Math.min(ram, lowRamEnd, (kernel.header?.initrdAddressMax ?? lowRamEnd - 1) + 1);
  if (at + length > limit) {
    const mib = (value: number) => Math.ceil(value / megabyte);
    throw new MachineError(
      `kernel and initrd need ${mib(at + length)} MiB of low memory and the guest has ` +
        `${mib(limit)} MiB: raise --local-memory or shrink the initrd`,
    );
  }
  return at;
}

function commandLineBytes(commandLine: string, header: BzImage | undefined): Uint8Array {
  const bytes = new TextEncoder().encode(`${commandLine}\0`);
  const max = Math.min(commandLineMax, header?.commandLineMax ?? commandLineMax);
  if (bytes.length - 1 <= max) return bytes;
  throw new MachineError(
    `the kernel command line has ${bytes.length - 1} bytes and the kernel takes ${max}`,
  );
}

function bootState(kernel: Kernel): BootState {
  return {
    mode: "long",
    ripU64: BigInt(kernel.entry),
    rsiU64: BigInt(boot.zeroPage),
    rspU64: BigInt(boot.stackTop),
    cr3U64: BigInt(boot.pageTables),
    gdtU64: BigInt(boot.gdt),
  };
}

function at(gpa: number, bytes: Uint8Array): Segment {
  return { gpaU64: BigInt(gpa), bytes };
}

/**
 * Everything to load and where the boot processor starts, by the 64-bit boot protocol.
 * @throws MachineError, one sentence, for a kernel or a size that cannot work.
 */
export function linuxImages(input: LinuxInput): GuestImages {
  const ram = ramBytes(input.nodes);
  if (ram < memoryMin) throw new MachineError("a Linux guest needs 64 MiB of memory or more");
  const kernel = loadKernel(input.kernel.bytes, input.kernel.name);
  if (kernel.first < megabyte) {
    throw new MachineError(`${input.kernel.name} loads below 1 MiB, where the boot tables lie`);
  }
  const initrdBytes = input.initrd?.length ?? 0;
  const initrdGpa = placeInitrd(kernel, initrdBytes, ram);
  const commandLine = input.append ?? defaultCommandLine(input.tscKhz, input.nodes.length);
  const acpi = acpiTables(input.nodes, input.deviceNode);
  const page = zeroPage({
    setupHeader: kernel.header?.setupHeader ?? new Uint8Array(0),
    memory: e820(input.nodes),
    commandLineGpa: boot.commandLine,
    initrdGpa: initrdBytes > 0 ? initrdGpa : 0,
    initrdBytes,
    rsdpGpa: acpi.rsdpGpa,
  });
  const segments = [
    at(boot.gdt, bootGdt()),
    at(boot.zeroPage, page),
    at(boot.pageTables, identityTables(boot.pageTables)),
    at(boot.commandLine, commandLineBytes(commandLine, kernel.header)),
    at(acpi.gpa, acpi.bytes),
    at(boot.mpTables, mpTables(input.nodes)),
    ...kernel.segments.filter((segment) => segment.bytes.length > 0),
    ...(input.initrd === undefined ? [] : [at(initrdGpa, input.initrd)]),
  ];
  return { segments, boot: bootState(kernel), commandLine };
}
