/** @module A guest of a few bytes as an ELF kernel: 64-bit code at 16 MiB, paging on. */

const entry = 0x100_0000;
const headBytes = 64 + 56;

export function tinyGuest(code: Uint8Array): Uint8Array {
  const file = new Uint8Array(headBytes + code.length);
  const view = new DataView(file.buffer);
  view.setUint32(0, 0x7f454c46);
  file.set([2, 1, 1], 4);
  view.setUint16(16, 2, true); // ET_EXEC
  view.setUint16(18, 62, true); // EM_X86_64
  view.setUint32(20, 1, true);
  view.setBigUint64(24, BigInt(entry), true);
  view.setBigUint64(32, 64n, true); // program headers
  view.setUint16(52, 64, true);
  view.setUint16(54, 56, true);
  view.setUint16(56, 1, true);
  view.setUint32(64, 1, true); // PT_LOAD
  view.setUint32(68, 5, true);
  view.setBigUint64(72, BigInt(headBytes), true);
  view.setBigUint64(80, BigInt(entry), true);
  view.setBigUint64(88, BigInt(entry), true);
  view.setBigUint64(96, BigInt(code.length), true);
  view.setBigUint64(104, BigInt(code.length), true);
  file.set(code, headBytes);
  return file;
}
