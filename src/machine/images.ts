/**
 * @module What a Linux guest finds in memory when its first vCPU starts: kernel, initrd, command
 * line, zero page, page tables, ACPI and MP tables. One node loads all of it; the others get the
 * pages they touch by fault, so everything that fits goes near the bottom, into the loading node's
 * share.
 */

import type { BootState } from "../node/dataplane.ts";
import { type BzImage, readBzImage } from "./bzimage.ts";
import { e820 } from "./e820.ts";
import { isElf, readElf } from "./elf.ts";
import { MachineError } from "./errors.ts";
import { firmware } from "./firmware.ts";
import { boot, lowRamEnd, type NodeShare, ramBytes } from "./map.ts";
import { bootGdt, identityTables } from "./pagetables.ts";
import { at, checkPlace, type Placed, placeBehind, placeElf, type Segment } from "./place.ts";
import { zeroPage } from "./zeropage.ts";

export type GuestImages = {
  readonly segments: readonly Segment[];
  readonly boot: BootState;
  readonly commandLine: string;
};

/** A file beside the kernel, and what the kernel is told of it. */
export type Module = { readonly name: string; readonly text: string; readonly bytes: Uint8Array };

/** What kernels of other protocols than Linux's are loaded with. */
export type GuestInput = {
  readonly kernel: { readonly name: string; readonly bytes: Uint8Array };
  readonly modules: readonly Module[];
  readonly commandLine: string;
  readonly nodes: readonly NodeShare[];
  /** Where the PCI devices are. */
  readonly deviceNode: number;
};

export type LinuxInput = {
  readonly kernel: { readonly name: string; readonly bytes: Uint8Array<ArrayBuffer> };
  readonly initrd: Uint8Array | undefined;
  readonly commandLine: string;
  readonly nodes: readonly NodeShare[];
  /** Where the PCI devices are. */
  readonly deviceNode: number;
};

type Kernel = Placed & { readonly entry: number; readonly header: BzImage | undefined };

const megabyte = 1 << 20;
const memoryMin = 64 * megabyte;
const commandLineMax = 2047;
/** Offset of the 64-bit entry in a bzImage's protected-mode part. */
const entry64 = 0x200;

/**
 * What the kernel is told when the user says nothing.
 * `tsc_early_khz`: the PIT counts but is slow to read, and without a rate Linux on AMD would
 * calibrate against it. `pmtmr=0`: with no other timer Linux takes that rate as it is and the TSC
 * as its clock; with one, a thread reads it anew each second until a read takes less than 31 us,
 * which a forwarded one never does, and the clock stays `tsc-early`
 * (tsc_refine_calibration_work in arch/x86/kernel/tsc.c).
 * `tsc=reliable`: all nodes' TSCs are equal by construction; a watchdog and a warp test would only
 * be a storm of remote faults. Over several nodes `numa_balancing=disable`: its scans unmap pages
 * to see who touches them, and each such write of a page table is remote to somebody;
 * `sysctl.vm.compaction_proactiveness=0`: else a thread of each node wakes twice a second to see
 * whether memory is fragmented, and takes the kernel's pages with it;
 * `transparent_hugepage=never`: else a thread on any node copies 512 pages of any process that
 * asks at once, to gain nothing where memory moves by pages of 4 KiB; and
 * `workqueue.unbound_cpus`: work that may run anywhere stays with the node that loads the images
 * and mostly has the devices, for instance the unpacking of the initrd. `quiet`: a console
 * character costs two exits.
 */
export function defaultCommandLine(tscKhz: number, nodes: readonly NodeShare[]): string {
  const clock = `tsc_early_khz=${tscKhz} pmtmr=0 clocksource=tsc tsc=reliable`;
  const words = ["console=ttyS0 panic=-1", clock];
  const [{ cpus } = { cpus: 0 }] = nodes;
  if (nodes.length > 1) {
    words.push("numa_balancing=disable sysctl.vm.compaction_proactiveness=0");
    words.push("transparent_hugepage=never");
    // Linux counts the first node's CPUs first.
    if (cpus > 0) words.push(`workqueue.unbound_cpus=0-${cpus - 1}`);
  }
  return [...words, "quiet"].join(" ");
}

function elfKernel(bytes: Uint8Array, name: string, header: BzImage | undefined): Kernel {
  const elf = readElf(bytes, name);
  if (elf.bits !== 64) throw new MachineError(`${name} holds a 32-bit kernel: use a 64-bit one`);
  const placed = placeElf(elf, name);
  const end = Math.max(placed.end, placed.first + (header?.initBytes ?? 0));
  return { ...placed, end, entry: Number(elf.entryU64), header };
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
    raxU64: 0n,
    rbxU64: 0n,
    rsiU64: BigInt(boot.zeroPage),
    rspU64: BigInt(boot.stackTop),
    cr3U64: BigInt(boot.pageTables),
    gdtU64: BigInt(boot.gdt),
  };
}

/**
 * Everything to load and where the boot processor starts, by the 64-bit boot protocol.
 * @throws MachineError, one sentence, for a kernel or a size that cannot work.
 */
export function linuxImages(input: LinuxInput): GuestImages {
  const ram = ramBytes(input.nodes);
  if (ram < memoryMin) throw new MachineError("a Linux guest needs 64 MiB of memory or more");
  const { name } = input.kernel;
  const kernel = loadKernel(input.kernel.bytes, name);
  checkPlace(kernel, name, ram);
  const initrds = [input.initrd ?? new Uint8Array()].filter(({ length }) => length > 0);
  const limit = (kernel.header?.initrdAddressMax ?? lowRamEnd - 1) + 1;
  const lengths = initrds.map(({ length }) => length);
  const [initrdGpa = 0] = placeBehind(kernel, lengths, ram, limit);
  const { commandLine } = input;
  const tables = firmware(input.nodes, input.deviceNode);
  const page = zeroPage({
    setupHeader: kernel.header?.setupHeader ?? new Uint8Array(0),
    memory: e820(input.nodes),
    commandLineGpa: boot.commandLine,
    initrdGpa,
    initrdBytes: input.initrd?.length ?? 0,
    rsdpGpa: tables.rsdpGpa,
  });
  const segments = [
    at(boot.gdt, bootGdt()),
    at(boot.zeroPage, page),
    at(boot.pageTables, identityTables(boot.pageTables)),
    at(boot.commandLine, commandLineBytes(commandLine, kernel.header)),
    ...tables.segments,
    ...kernel.segments,
    ...initrds.map((bytes) => at(initrdGpa, bytes)),
  ];
  return { segments, boot: bootState(kernel), commandLine };
}
