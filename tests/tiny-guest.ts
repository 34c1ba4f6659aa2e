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

export function hex(text: string): Uint8Array {
  return Buffer.from(text.replaceAll(" ", ""), "hex");
}

/**
 * A guest whose boot processor starts the one with APIC id 1 on real-mode code of at most 127 bytes
 * at 0x8000 and halts: what then happens is done by a vCPU of the second node. `first` is 64-bit
 * code that the boot processor runs before.
 *
 *     lea rsi,[rip+code]; mov edi,0x8000; mov ecx,length; rep movsb
 *     mov ebx,0xfee00000; mov dword [rbx+0x310],0x01000000
 *     mov dword [rbx+0x300],0x4500 (INIT); mov dword [rbx+0x300],0x4608 (SIPI, vector 8)
 *     hlt; jmp $-1
 */
export function secondProcessor(code: Uint8Array, first?: Uint8Array): Uint8Array {
  const before =
    `bf00800000 b9${code.length.toString(16).padStart(2, "0")}000000 f3a4 bb0000e0fe ` +
    "c7831003000000000001 c7830003000000450000 c7830003000008460000 f4 ebfd";
  const rest = hex(before);
  const loaded = [hex("488d35"), Uint8Array.of(rest.length, 0, 0, 0), rest, code];
  return tinyGuest(Buffer.concat([first ?? hex(""), ...loaded]));
}
