/**
 * @module A Linux bzImage (Documentation/arch/x86/boot.rst): its setup header and, where we can
 * unpack it, the kernel proper. Unpacking here instead of in the guest saves the decompressor's
 * run and, in a cluster, every page it would dirty.
 */

import { viewOf } from "./bytes.ts";
import { isElf } from "./elf.ts";
import { MachineError } from "./errors.ts";

export type BzImage = {
  readonly version: number;
  /** Bytes 0x1F1 to the end of the header, as they go into the zero page. */
  readonly setupHeader: Uint8Array;
  /** The protected-mode part: what is loaded when the payload cannot be unpacked. */
  readonly kernel: Uint8Array;
  readonly preferredAddressU64: bigint;
  /** Memory from the load address on that the kernel uses before it reads the memory map. */
  readonly initBytes: number;
  readonly initrdAddressMax: number;
  readonly commandLineMax: number;
  /** vmlinux as ELF, or undefined when it is packed in a way that is not known here. */
  readonly payload: Uint8Array | undefined;
};

const headerStart = 0x1f1;
const magic = 0x53726448;
const canBeLoadedAbove4G = 1;

type Unpack = (packed: Uint8Array<ArrayBuffer>) => Uint8Array;
/**
 * The first bytes of a packed stream tell how. To all but gzip, which ends with it, the build
 * appends the unpacked size, 4 bytes (arch/x86/boot/compressed/Makefile).
 */
const unpackers: readonly { readonly magic: readonly number[]; readonly unpack: Unpack }[] = [
  {
    magic: [0x28, 0xb5, 0x2f, 0xfd],
    unpack: (packed) => Bun.zstdDecompressSync(packed.subarray(0, -4)),
  },
  { magic: [0x1f, 0x8b], unpack: (packed) => Bun.gunzipSync(packed) },
];

function unpack(packed: Uint8Array<ArrayBuffer>): Uint8Array | undefined {
  const known = unpackers.find((kind) => kind.magic.every((byte, i) => packed[i] === byte));
  if (known === undefined) return undefined;
  try {
    const unpacked = known.unpack(packed);
    return isElf(unpacked) ? unpacked : undefined;
  } catch {
    return undefined;
  }
}

/** Whether the file says that it follows Linux's boot protocol, whatever it is. */
export function hasSetupHeader(bytes: Uint8Array): boolean {
  return bytes.length >= 0x206 && viewOf(bytes).getUint32(0x202, true) === magic;
}

/** @throws MachineError when it is no bzImage with a 64-bit entry. */
export function readBzImage(bytes: Uint8Array<ArrayBuffer>, name: string): BzImage {
  const view = viewOf(bytes);
  if (bytes.length < 0x1000 || !hasSetupHeader(bytes)) {
    throw new MachineError(`${name} is no Linux bzImage, or ends within its head`);
  }
  const version = view.getUint16(0x206, true);
  if (version < 0x20c || (view.getUint16(0x236, true) & canBeLoadedAbove4G) === 0) {
    const found = `${version >> 8}.${version & 0xff}`;
    throw new MachineError(
      `${name} has no 64-bit entry (boot protocol ${found}); use a 64-bit kernel of 3.8 or later`,
    );
  }
  const sectors = view.getUint8(headerStart) || 4;
  const start = (sectors + 1) * 512;
  const kernel = bytes.subarray(start);
  const payloadOffset = view.getUint32(0x248, true);
  const payloadLength = view.getUint32(0x24c, true);
  const headerEnd = 0x202 + view.getUint8(0x201);
  // syssize counts 16 bytes, rounded up; not every kernel is padded to that.
  const kernelBytes = Math.max(
    payloadOffset + payloadLength,
    16 * view.getUint32(0x1f4, true) - 15,
  );
  if (kernel.length < kernelBytes) {
    throw new MachineError(
      `${name} ends too early: ${bytes.length} bytes are there of at least ` +
        `${start + kernelBytes}; copy it again`,
    );
  }
  return {
    version,
    setupHeader: bytes.slice(headerStart, headerEnd),
    kernel,
    preferredAddressU64: view.getBigUint64(0x258, true),
    initBytes: view.getUint32(0x260, true),
    initrdAddressMax: view.getUint32(0x22c, true),
    commandLineMax: view.getUint32(0x238, true),
    payload: unpack(kernel.subarray(payloadOffset, payloadOffset + payloadLength)),
  };
}
