/**
 * @module What the node that loads the guest makes of its files: the format is seen from the
 * kernel's bytes, never from its name (docs/booting.md has each with its sentences).
 */

import { viewOf } from "./bytes.ts";
import { hasSetupHeader, readBzImage } from "./bzimage.ts";
import { type ElfImage, type ElfNote, isElf, readElf, readNotes } from "./elf.ts";
import { MachineError } from "./errors.ts";
import { defaultCommandLine, type GuestImages, linuxImages, type Module } from "./images.ts";
import type { NodeShare } from "./map.ts";
import { type MultibootHeader, multibootHeader, multibootImages } from "./multiboot.ts";
import { hasPvhEntry, isLinux, pvhImages } from "./pvh.ts";

export type GuestFiles = {
  readonly kernel: { readonly name: string; readonly bytes: Uint8Array<ArrayBuffer> };
  readonly initrd: Module | undefined;
  readonly modules: readonly Module[];
  /** Instead of the default: for Linux the tuned one, for others none. */
  readonly commandLine: string | undefined;
  /** Behind that. */
  readonly append: string | undefined;
  readonly nodes: readonly NodeShare[];
  readonly deviceNode: number;
  readonly tscKhz: number;
};

const multiboot2Magic = 0xe85250d6;
const multiboot2SearchBytes = 32768;

function asksForMultiboot2(bytes: Uint8Array): boolean {
  const view = viewOf(bytes);
  const end = Math.min(bytes.length, multiboot2SearchBytes) - 16;
  for (let offset = 0; offset <= end; offset += 8) {
    if (view.getUint32(offset, true) !== multiboot2Magic) continue;
    let sum = 0;
    for (let i = 0; i < 4; i += 1) sum += view.getUint32(offset + 4 * i, true);
    if (sum % 2 ** 32 === 0) return true;
  }
  return false;
}

function commandLineOf(files: GuestFiles, linux: boolean): string {
  const tuned = linux ? defaultCommandLine(files.tscKhz, files.nodes) : "";
  const parts = [files.commandLine ?? tuned, files.append ?? ""];
  return parts.filter((part) => part !== "").join(" ");
}

function linux(files: GuestFiles): GuestImages {
  if (files.modules.length > 0) {
    throw new MachineError(
      `${files.kernel.name} is Linux, which takes one initrd: --modules is for multiboot and PVH`,
    );
  }
  return linuxImages({
    kernel: files.kernel,
    initrd: files.initrd?.bytes,
    commandLine: commandLineOf(files, true),
    nodes: files.nodes,
    deviceNode: files.deviceNode,
  });
}

type Kernel = GuestFiles["kernel"];

type Format =
  | { readonly kind: "linux" }
  | { readonly kind: "multiboot"; readonly header: MultibootHeader }
  | { readonly kind: "pvh"; readonly elf: ElfImage; readonly notes: readonly ElfNote[] };

function isGzip(bytes: Uint8Array): boolean {
  return bytes[0] === 0x1f && bytes[1] === 0x8b;
}

/** Some distributions pack kernels that are no bzImage, as boot loaders unpack them. */
function unpacked({ name, bytes }: Kernel): Kernel {
  if (!isGzip(bytes)) return { name, bytes };
  try {
    return { name, bytes: Bun.gunzipSync(bytes) };
  } catch {
    throw new MachineError(`${name} is a gzip file that cannot be unpacked`);
  }
}

/** @throws MachineError */
function formatOf({ name, bytes }: Kernel): Format {
  if (hasSetupHeader(bytes)) return { kind: "linux" };
  const header = multibootHeader(bytes);
  if (header !== undefined) return { kind: "multiboot", header };
  const elf = isElf(bytes) ? readElf(bytes, name) : undefined;
  const notes = elf === undefined ? [] : readNotes(elf, name);
  if (elf !== undefined && hasPvhEntry(notes)) return { kind: "pvh", elf, notes };
  if (asksForMultiboot2(bytes)) {
    throw new MachineError(
      `${name} asks for multiboot 2, and this loads multiboot 1, PVH and Linux`,
    );
  }
  if (elf?.bits === 64) return { kind: "linux" };
  throw new MachineError(
    elf === undefined
      ? `${name} is no kernel known here: give a Linux bzImage, an x86 ELF kernel (PVH, 64-bit ` +
          "Linux or multiboot 1) or another multiboot 1 kernel"
      : `${name} is a 32-bit ELF file with neither a multiboot 1 header nor a PVH note: there is ` +
          "no known way to enter it",
  );
}

/** @throws MachineError, one sentence, for a file that is no kernel to be booted here. */
export function checkKernel(file: Kernel): void {
  const kernel = unpacked(file);
  const isBzImage = formatOf(kernel).kind === "linux" && !isElf(kernel.bytes);
  if (isBzImage) readBzImage(kernel.bytes, kernel.name);
}

/**
 * Everything to load and where the boot processor starts.
 * @throws MachineError, one sentence, for what cannot be booted.
 */
export function guestImages(given: GuestFiles): GuestImages {
  const files = { ...given, kernel: unpacked(given.kernel) };
  const { kernel, initrd, nodes, deviceNode } = files;
  const modules = [...(initrd === undefined ? [] : [initrd]), ...files.modules];
  const format = formatOf(kernel);
  switch (format.kind) {
    case "linux":
      return linux(files);
    case "multiboot": {
      const commandLine = commandLineOf(files, false);
      const input = { kernel, modules, commandLine, nodes, deviceNode };
      return multibootImages(input, format.header);
    }
    case "pvh": {
      const commandLine = commandLineOf(files, isLinux(format.notes));
      const input = { kernel, modules, commandLine, nodes, deviceNode };
      return pvhImages(input, format.elf, format.notes);
    }
    default:
      return format satisfies never;
  }
}
