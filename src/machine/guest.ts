/**
 * @module What the node that loads the guest makes of its files: the format is seen from the
 * kernel's bytes, never from its name (docs/booting.md has each with its sentences).
 */

import { viewOf } from "./bytes.ts";
import { hasSetupHeader } from "./bzimage.ts";
import { isElf, readElf, readNotes } from "./elf.ts";
import { MachineError } from "./errors.ts";
import { defaultCommandLine, type GuestImages, linuxImages, type Module } from "./images.ts";
import type { NodeShare } from "./map.ts";
import { multibootHeader, multibootImages } from "./multiboot.ts";
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
  const tuned = linux ? defaultCommandLine(files.tscKhz, files.nodes.length) : "";
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

/**
 * Everything to load and where the boot processor starts.
 * @throws MachineError, one sentence, for what cannot be booted.
 */
export function guestImages(files: GuestFiles): GuestImages {
  const { kernel, initrd, nodes, deviceNode } = files;
  const { name, bytes } = kernel;
  if (hasSetupHeader(bytes)) return linux(files);
  const modules = [...(initrd === undefined ? [] : [initrd]), ...files.modules];
  const header = multibootHeader(bytes);
  if (header !== undefined) {
    const commandLine = commandLineOf(files, false);
    return multibootImages({ kernel, modules, commandLine, nodes, deviceNode }, header);
  }
  if (!isElf(bytes)) {
    throw new MachineError(
      asksForMultiboot2(bytes)
        ? `${name} asks for multiboot 2, and this loads multiboot 1, PVH and Linux`
        : `${name} is no kernel known here: give a Linux bzImage, an x86 ELF kernel (PVH, 64-bit ` +
            "Linux or multiboot 1) or another multiboot 1 kernel",
    );
  }
  const elf = readElf(bytes, name);
  const notes = readNotes(elf, name);
  if (hasPvhEntry(notes)) {
    const commandLine = commandLineOf(files, isLinux(notes));
    return pvhImages({ kernel, modules, commandLine, nodes, deviceNode }, elf, notes);
  }
  if (asksForMultiboot2(bytes)) {
    throw new MachineError(
      `${name} asks for multiboot 2, and this loads multiboot 1, PVH and Linux`,
    );
  }
  if (elf.bits === 64) return linux(files);
  throw new MachineError(
    `${name} is a 32-bit ELF file with neither a multiboot 1 header nor a PVH note: there is no ` +
      "known way to enter it",
  );
}
