/**
 * @module Where things are in the guest's address spaces. native/zig/devices/map.zig says the same
 * to the native devices; map.test.ts compares the two, so that a table never names a device that
 * is not there.
 */

export const pm1aEvent = 0x600;
export const pm1aControl = 0x604;
export const pmTimer = 0x608;
export const resetPort = 0xcf9;
export const resetValue = 6;
/** SLP_TYP of soft-off: what \_S5 names and the board takes for power-off. */
export const s5SleepType = 5;
export const uartPort = 0x3f8;
export const uartIrq = 4;
export const rtcIrq = 8;
export const sciIrq = 9;
/** ISA interrupt 0 arrives here, as on every PC with an I/O APIC. */
export const pitGsi = 2;
export const ioApicGpa = 0xfec0_0000;
export const ioApicPins = 24;
export const localApicGpa = 0xfee0_0000;
/** The local APIC's timer counts nanoseconds at divisor 1. */
export const apicTimerKhz = 1_000_000;
export const crtcPort = 0x3d4;
export const debugExitPort = 0xf4;
/** The test device of the built-in guest. */
export const probeGpa = 0xfed8_0000;
export const probePort = 0x500;
/** PCI's address and data registers, the configuration space of bus 0 in memory (ECAM). */
export const pciAddressPort = 0xcf8;
export const pciDataPort = 0xcfc;
export const ecamGpa = 0xe000_0000;
export const ecamBytes = 0x10_0000;
/** Where the memory of PCI devices may lie: from the end of low RAM to the ECAM. */
export const pciWindowGpa = 0xc000_0000;
export const pciWindowBytes = 0x2000_0000;
/** INTA# of device d arrives at the I/O APIC's pin pciFirstGsi + d % pciGsis. */
export const pciFirstGsi = 16;
export const pciGsis = 8;
export const pciDevices = 32;

export const pageBytes = 4096;
/** RAM offsets below equal guest physical addresses; RAM from here on starts at 4 GiB. */
export const lowRamEnd = 0xc000_0000;
export const highRamStart = 0x1_0000_0000;

/** Where the boot data lies; Linux copies what it needs before it uses low memory. */
export const boot = {
  interruptVectors: 0,
  biosData: 0x400,
  gdt: 0x1000,
  stackTop: 0x7000,
  zeroPage: 0x7000,
  pageTables: 0x9000,
  commandLine: 0x20000,
  /** What PVH and multiboot kernels are told, in place of zero page and command line. */
  startInfo: 0x20000,
  /** End of conventional memory; the kilobyte below 640 KiB stays reserved as on a PC. */
  conventionalEnd: 0x9fc00,
  acpiTables: 0xe0000,
  /** Where kernels without ACPI search (MP specification 1.4, chapter 4). */
  mpTables: 0xf0000,
  /** What the interrupt vectors of real mode point at. */
  biosCall: 0xff000,
  extendedStart: 0x100000,
} as const;

export type NodeShare = { readonly cpus: number; readonly ramPages: number };
export type GpaRange = { readonly first: number; readonly length: number };

/** Guest physical ranges of RAM offsets from `offset` on: two when the hole splits them. */
export function gpaRanges(offset: number, length: number): readonly GpaRange[] {
  const ranges: GpaRange[] = [];
  const low = Math.min(length, Math.max(0, lowRamEnd - offset));
  if (low > 0) ranges.push({ first: offset, length: low });
  if (length > low) {
    ranges.push({ first: offset + low - lowRamEnd + highRamStart, length: length - low });
  }
  return ranges;
}

export function ramBytes(nodes: readonly NodeShare[]): number {
  return nodes.reduce((sum, node) => sum + node.ramPages, 0) * pageBytes;
}
