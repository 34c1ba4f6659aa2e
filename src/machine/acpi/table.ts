/** @module What all ACPI tables share: the 36-byte header and the checksum (ACPI 6.5, 5.2.6). */

import { viewOf } from "../bytes.ts";

export const headerBytes = 36;

/** Byte that makes the sum of all bytes zero modulo 256. */
export function checksum(bytes: Uint8Array): number {
  let sum = 0;
  for (const byte of bytes) sum += byte;
  return -sum & 0xff;
}

export function table(signature: string, revision: number, body: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(headerBytes + body.length);
  const view = viewOf(bytes);
  const text = (at: number, value: string) => bytes.set(new TextEncoder().encode(value), at);
  text(0, signature);
  view.setUint32(4, bytes.length, true);
  view.setUint8(8, revision);
  text(10, "GIANTV");
  text(16, "GIANTVM ");
  view.setUint32(24, 1, true);
  text(28, "GVM ");
  view.setUint32(32, 1, true);
  bytes.set(body, headerBytes);
  bytes[9] = checksum(bytes);
  return bytes;
}
