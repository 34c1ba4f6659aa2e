/** @module Kernel images made to the letter of the documents, for tests. */

import { viewOf } from "../src/machine/bytes.ts";

const mib = 1 << 20;

/** An ELF with one segment of `content` at `gpa`, entered at its start. */
export function elfOf(
  gpa: number,
  content: Uint8Array,
  memoryBytes = content.length,
): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(120 + content.length);
  const view = viewOf(bytes);
  bytes.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  view.setUint16(16, 2, true);
  view.setUint16(18, 62, true);
  view.setBigUint64(24, BigInt(gpa), true);
  view.setBigUint64(32, 64n, true);
  view.setUint16(54, 56, true);
  view.setUint16(56, 1, true);
  view.setUint32(64, 1, true);
  view.setBigUint64(72, 120n, true);
  view.setBigUint64(88, BigInt(gpa), true);
  view.setBigUint64(96, BigInt(content.length), true);
  view.setBigUint64(104, BigInt(memoryBytes), true);
  bytes.set(content, 120);
  return bytes;
}

/** A bzImage of protocol 2.15; to all payloads but gzip the build appends the unpacked size. */
export function bzImageOf(payload: Uint8Array): Uint8Array<ArrayBuffer> {
  const start = 3 * 512;
  const payloadLength = payload.length + (payload[0] === 0x1f && payload[1] === 0x8b ? 0 : 4);
  const bytes = new Uint8Array(Math.max(0x2000, start + 0x400 + payloadLength));
  const view = viewOf(bytes);
  view.setUint8(0x1f1, 2);
  view.setUint32(0x1f4, Math.floor((bytes.length - start) / 16), true);
  view.setUint8(0x201, 0x6a);
  view.setUint32(0x202, 0x53726448, true);
  view.setUint16(0x206, 0x20f, true);
  view.setUint32(0x22c, 0x7fff_ffff, true);
  view.setUint16(0x236, 1, true);
  view.setUint32(0x238, 2047, true);
  view.setUint32(0x248, 0x400, true);
  view.setUint32(0x24c, payloadLength, true);
  view.setBigUint64(0x258, BigInt(16 * mib), true);
  view.setUint32(0x260, 32 * mib, true);
  bytes.set(payload, start + 0x400);
  return bytes;
}
