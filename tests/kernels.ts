/**
 * @module Kernels for the boot protocols with a 32-bit entry, made from bytes: they say over the
 * serial port what they were told, and end with 0, or with 1 when what they stand on is wrong.
 */

import { alignUp, Fields } from "../src/machine/bytes.ts";
import { hex } from "./tiny-guest.ts";

/** Where the kernels lie; 64 bytes of head, then code. What follows to `memoryBytes` is zero. */
export const base = 0x10_0000;
export const headBytes = 0x40;
export const memoryBytes = 0x5000;

/**
 * hex: bytes at esi, ecx of them, as two digits each and a line break; puts: a string and one.
 *
 *     puts: lodsb; test al,al; je line; out dx,al; jmp puts
 *     line: mov al,10; out dx,al; ret
 *     hex: lodsb; mov ah,al; shr al,4; call digit; mov al,ah; and al,15; call digit; dec ecx;
 *       jne hex; jmp line
 *     digit: add al,0x30; cmp al,0x39; jbe 1f; add al,0x27; 1: out dx,al; ret
 */
const printing =
  "ac84c07403eeebf8 b00aeec3 ac88c4c0e804e80e00000088e0240fe8050000004975e9ebe3 " +
  "04303c3976020427eec3";

/**
 *     mov esp,0x105000; mov ebp,ebx; mov edx,0x3f8; cmp eax,0x2badb002; jne fail
 *     mov esi,ebp; mov ecx,116; call hex                      the information
 *     mov esi,[ebp+16]; call puts                             command line
 *     mov esi,[ebp+64]; call puts                             boot loader
 *     mov esi,[ebp+48]; mov ecx,[ebp+44]; call hex            memory map
 *     mov esi,0x104000; mov ecx,4; call hex                   memory that is not in the file
 *     mov edi,[ebp+24]; mov ebx,[ebp+20]
 *     next: dec ebx; js done; mov esi,[edi+8]; call puts      string and bytes of each module
 *     mov esi,[edi]; mov ecx,[edi+4]; sub ecx,esi; call hex; add edi,16; jmp next
 *     done: xor eax,eax; out 0xf4,al; hlt
 *     fail: mov al,1; out 0xf4,al; hlt
 */
const multibootCode = hex(
  "bc00501000 89dd baf8030000 3d02b0ad2b 755d 89ee b974000000 e862000000 8b7510 e84e000000 " +
    "8b7540 e846000000 8b7530 8b4d2c e847000000 be00401000 b904000000 e838000000 8b7d18 8b5d14 " +
    "4b 7819 8b7708 e81b000000 8b37 8b4f04 29f1 e81b000000 83c710 ebe4 31c0 e6f4 f4 b001 e6f4 f4 " +
    printing,
);

/**
 *     mov esp,0x105000; mov ebp,ebx; mov edx,0x3f8; cmp dword [ebx],0x336ec578; jne fail
 *     mov esi,ebp; mov ecx,56; call hex                       the start information
 *     mov esi,[ebp+24]; call puts                             command line
 *     imul ecx,[ebp+48],24; mov esi,[ebp+40]; call hex        memory map
 *     mov esi,0x104000; mov ecx,4; call hex                   memory that is not in the file
 *     mov esi,[ebp+32]; mov ecx,8; call hex                   RSDP, its signature
 *     mov edi,[ebp+16]; mov ebx,[ebp+12]
 *     next: dec ebx; js done; mov esi,[edi+16]; test esi,esi; je bytes; call puts
 *     bytes: mov esi,[edi]; mov ecx,[edi+8]; call hex; add edi,32; jmp next
 *     done: xor eax,eax; out 0xf4,al; hlt
 *     fail: mov al,1; out 0xf4,al; hlt
 */
const pvhCode = hex(
  "bc00501000 89dd baf8030000 813b78c56e33 7565 89ee b938000000 e86a000000 8b7518 e856000000 " +
    "6b4d3018 8b7528 e856000000 be00401000 b904000000 e847000000 8b7520 b908000000 e83a000000 " +
    "8b7d10 8b5d0c 4b 781b 8b7710 85f6 7405 e819000000 8b37 8b4f08 e81b000000 83c720 ebe2 " +
    `31c0 e6f4 f4 b001 e6f4 f4 ${printing}`,
);

/**
 * BIOS calls 0x10 to 0x1f from real mode: "y" for each that is refused and changes nothing else.
 *
 *     mov esp,0x105000; mov esi,low; mov edi,0x8000; mov ecx,102; rep movsb
 *     lgdt [gdtr]; jmp 8:0x8000
 *     gdtr: dw 23; dd gdt; gdt: dq 0, 0x00009b000000ffff, 0x000093000000ffff
 *     low: mov ax,16; mov ss,ax; mov ds,ax; mov eax,cr0; and al,0xfe; mov cr0,eax; jmp 0:real
 *     real: xor ax,ax; mov ds,ax; mov ss,ax; mov sp,0x7000; lidt [idtr]; mov dx,0x3f8; mov bx,16
 *     next: mov [call+1],bl; jmp 1f; 1: mov ax,0xe801; mov bp,0x1234; clc
 *     call: int 0x15; setc al; cmp ax,0x8601; jne bad; cmp sp,0x7000; jne bad
 *     cmp bp,0x1234; jne bad; mov al,'y'; jmp 2f; bad: mov al,'n'; 2: out dx,al
 *     inc bx; cmp bl,32; jne next; mov al,10; out dx,al; xor ax,ax; out 0xf4,al; hlt
 *     idtr: dw 0x3ff; dd 0
 */
const biosCode = hex(
  "bc00501000 be82001000 bf00800000 b966000000 f3a4 0f011564001000 ea008000000800 " +
    "1700 6a001000 0000000000000000 ffff0000009b0000 ffff000000930000 " +
    "b81000 8ed0 8ed8 0f20c0 24fe 0f22c0 ea14800000 31c0 8ed8 8ed0 bc0070 0f011e6080 baf803 " +
    "bb1000 881e3680 eb00 b801e8 bd3412 f8 cd15 0f92c0 3d0186 7510 81fc0070 750a 81fd3412 7504 " +
    "b079 eb02 b06e ee 43 80fb20 75d0 b00a ee 31c0 e6f4 f4 ff0300000000",
);

type Part = {
  readonly gpa: number;
  readonly virtual?: number;
  readonly bytes: Uint8Array;
  readonly memoryBytes?: number;
};

export type ElfInput = {
  readonly bits: 32 | 64;
  readonly entry: number;
  readonly segments: readonly Part[];
  readonly notes?: Uint8Array;
};

const kinds = { load: 1, note: 4 } as const;

function word(fields: Fields, bits: 32 | 64, ...values: readonly number[]): Fields {
  return bits === 64 ? fields.u64(...values.map(BigInt)) : fields.u32(...values);
}

/** An executable; contents lie behind the program headers, in order, each on 16 bytes. */
export function elfFile(input: ElfInput): Uint8Array<ArrayBuffer> {
  const { bits, notes, segments } = input;
  const [head, row, machine] = bits === 64 ? [64, 56, 62] : [52, 32, 3];
  const parts: (readonly [number, Part])[] = segments.map((segment) => [kinds.load, segment]);
  if (notes !== undefined) parts.push([kinds.note, { gpa: 0, bytes: notes }]);
  const file = new Fields()
    .u8(0x7f)
    .text("ELF")
    .u8(bits / 32, 1, 1)
    .zero(9);
  file.u16(2, machine).u32(1);
  word(file, bits, input.entry, head, 0).u32(0).u16(head, row, parts.length, 0, 0, 0);
  let at = alignUp(head + row * parts.length, 16);
  const contents = new Fields().zero(at - head - row * parts.length);
  for (const [kind, part] of parts) {
    const { gpa, bytes, virtual = gpa, memoryBytes: memory = bytes.length } = part;
    file.u32(kind);
    if (bits === 64) file.u32(7).u64(...[at, virtual, gpa, bytes.length, memory, 16].map(BigInt));
    else file.u32(at, virtual, gpa, bytes.length, memory, 7, 16);
    contents.raw(bytes).zero(alignUp(bytes.length, 16) - bytes.length);
    at += alignUp(bytes.length, 16);
  }
  return Uint8Array.from(file.raw(contents.bytes()).bytes());
}

/** One ELF note; name and content are padded to four bytes. */
export function noteOf(name: string, type: number, content: Uint8Array): Uint8Array {
  const fields = new Fields().u32(name.length + 1, content.length, type);
  fields.text(name, alignUp(name.length + 1, 4));
  return fields
    .raw(content)
    .zero(alignUp(content.length, 4) - content.length)
    .bytes();
}

export function multibootHeaderOf(flags: number, addresses: readonly number[] = []): Uint8Array {
  const magic = 0x1badb002;
  return new Fields().u32(magic, flags, -(magic + flags) >>> 0, ...addresses).bytes();
}

/** Head and code as they lie at `base`. */
function imageOf(head: Uint8Array, code: Uint8Array): Uint8Array {
  return new Fields()
    .raw(head)
    .zero(headBytes - head.length)
    .raw(code)
    .bytes();
}

/** A multiboot kernel that its ELF file says how to load. */
export function multibootElf(bits: 32 | 64, flags = 3, virtual = base): Uint8Array<ArrayBuffer> {
  const bytes = imageOf(multibootHeaderOf(flags), multibootCode);
  const entry = virtual + headBytes;
  return elfFile({ bits, entry, segments: [{ gpa: base, virtual, bytes, memoryBytes }] });
}

/** A multiboot kernel that calls the BIOS. */
export function biosElf(): Uint8Array<ArrayBuffer> {
  const bytes = imageOf(multibootHeaderOf(3), biosCode);
  const segments = [{ gpa: base, bytes, memoryBytes }];
  return elfFile({ bits: 32, entry: base + headBytes, segments });
}

/** Fields of the header that says itself how to load. */
export type Addresses = {
  readonly header: number;
  readonly load: number;
  readonly loadEnd: number;
  readonly zeroEnd: number;
  readonly entry: number;
};

const flatBytes = headBytes + multibootCode.length;
export const flatAddresses: Addresses = {
  header: base,
  load: base,
  loadEnd: base + flatBytes,
  zeroEnd: base + memoryBytes,
  entry: base + headBytes,
};

/** The same kernel by addresses: in the file it lies behind `before`, which is not loaded. */
export function multibootFlat(
  before: Uint8Array = new Uint8Array(0x50).fill(0xcc),
  changes: Partial<Addresses> = {},
): Uint8Array<ArrayBuffer> {
  const a = { ...flatAddresses, ...changes };
  const header = multibootHeaderOf(0x10003, [a.header, a.load, a.loadEnd, a.zeroEnd, a.entry]);
  const file = new Fields().raw(before).raw(imageOf(header, multibootCode)).bytes();
  return Uint8Array.from(file);
}

/** The note that names the entry, four or eight bytes as the file's class has them. */
export function pvhNote(bits: 32 | 64, entry: number): Uint8Array {
  return noteOf("Xen", 18, word(new Fields(), bits, entry).bytes());
}

export function pvhElf(
  bits: 32 | 64,
  notes: Uint8Array = pvhNote(bits, base + headBytes),
): Uint8Array<ArrayBuffer> {
  const bytes = imageOf(new Uint8Array(), pvhCode);
  return elfFile({ bits, entry: base, segments: [{ gpa: base, bytes, memoryBytes }], notes });
}
