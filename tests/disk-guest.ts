/**
 * @module A guest of a few bytes that drives a virtio disk: its driver is a table of stores, to the
 * device's registers and to the rings and descriptors in memory.
 */

import { hex, tinyGuest } from "./tiny-guest.ts";

/** Of src/machine/map.ts: the first BAR of the first device, and its configuration space. */
const bar = 0xc000_0000;
const command = 0xe000_8004;
/** Guest memory of the driver: three rings, then head, data and status of each of two requests. */
export const rings = { descriptors: 0x110_0000, available: 0x110_1000, used: 0x110_2000 };
export const head = [0x110_3000, 0x110_3100] as const;
export const data = 0x110_4000;
const status = [0x110_5000, 0x110_5001] as const;

type Store = readonly [address: number, value: number, bytes: 1 | 2 | 4];

function descriptor(index: number, gpa: number, bytes: number, flags: number): readonly Store[] {
  const at = rings.descriptors + 16 * index;
  return [
    [at, gpa, 4],
    [at + 8, bytes, 4],
    [at + 12, flags, 2],
    [at + 14, index + 1, 2],
  ];
}

/** What a driver does up to DRIVER_OK: memory and bus master on, features, one queue. */
export const driver: readonly Store[] = [
  [command, 6, 2],
  [bar + 20, 3, 1],
  [bar + 8, 1, 4],
  [bar + 12, 1, 4],
  [bar + 20, 11, 1],
  [bar + 24, 8, 2],
  [bar + 32, rings.descriptors, 4],
  [bar + 40, rings.available, 4],
  [bar + 48, rings.used, 4],
  [bar + 28, 1, 2],
  [bar + 20, 15, 1],
];

/** Reads sector 2 to `data`, then writes what came to sector 3: data and head are one page each. */
export const requests: readonly Store[] = [
  [head[0], 0, 4],
  [head[0] + 8, 2, 4],
  ...descriptor(0, head[0], 16, 1),
  ...descriptor(1, data, 512, 3),
  ...descriptor(2, status[0], 1, 2),
  [head[1], 1, 4],
  [head[1] + 8, 3, 4],
  ...descriptor(3, head[1], 16, 1),
  ...descriptor(4, data, 512, 1),
  ...descriptor(5, status[1], 1, 2),
  [status[0], 0xee, 1],
  [status[1], 0xee, 1],
  [rings.available + 4, 0, 2],
  [rings.available + 6, 3, 2],
  [rings.available + 2, 1, 2],
];

export function word(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value >>> 0);
  return bytes;
}

/** mov ebx,address; mov al/ax/eax,value; mov [rbx],al/ax/eax */
export function store([address, value, bytes]: Store): Buffer {
  const opcode = { 1: "8803", 2: "668903", 4: "8903" }[bytes];
  return Buffer.concat([hex("bb"), word(address), hex("b8"), word(value), hex(opcode)]);
}

/** mov ebx,used+2; 0: pause; mov ax,[rbx]; cmp ax,count; jne 0 */
export function awaitUsed(count: number): Buffer {
  const wait = `f390 668b03 663d${count.toString(16).padStart(2, "0")}00 75f5`;
  return Buffer.concat([hex("bb"), word(rings.used + 2), hex(wait)]);
}

/** `ring` is the doorbell. Exits with the sum of both status bytes: 0 when both went well. */
export const ring = store([bar + 0x3000, 0, 2]);
export const sum = Buffer.concat([
  hex("bb"),
  word(status[0]),
  hex("8a03 024301 e6f4 f4 ebfd"), // mov al,[rbx]; add al,[rbx+1]; out 0xf4,al; hlt
]);

export function program(parts: readonly Uint8Array[]): Uint8Array {
  return tinyGuest(Buffer.concat(parts));
}

export const readThenWrite = program([
  ...requests.map(store),
  ...driver.map(store),
  ring,
  awaitUsed(1),
  store([rings.available + 2, 2, 2]),
  ring,
  awaitUsed(2),
  sum,
]);

/** Makes a descriptor available that the queue does not have; ends when the device says so. */
export const faulty = program([
  ...driver.map(store),
  store([rings.available + 4, 9, 2]),
  store([rings.available + 2, 1, 2]),
  ring,
  hex("bb"), // mov ebx,device_status
  word(bar + 20),
  // 0: pause; mov al,[rbx]; test al,0x40; jz 0; xor eax,eax; out 0xf4,al; hlt
  hex("f390 8a03 a840 74f8 31c0 e6f4 f4 ebfd"),
]);

/** Writes one sector, again and again, for ever. */
export const busy = (() => {
  const stores: readonly Store[] = [
    [head[0], 1, 4],
    [head[0] + 8, 3, 4],
    [data, 0x5a5a5a5a, 4],
    ...descriptor(0, head[0], 16, 1),
    ...descriptor(1, data, 512, 1),
    ...descriptor(2, status[0], 1, 2),
  ];
  const turn = Buffer.concat([
    hex("41ffc4 bb"), // inc r12d; mov ebx,available+2
    word(rings.available + 2),
    hex("66448923"), // mov [rbx],r12w
    ring,
    hex("bb"), // mov ebx,used+2
    word(rings.used + 2),
    hex("f390 66443923 75f8"), // 0: pause; cmp [rbx],r12w; jne 0
  ]);
  const again = Buffer.concat([hex("e9"), word(-turn.length - 5)]);
  // xor r12d,r12d
  return program([...stores.map(store), ...driver.map(store), hex("4531e4"), turn, again]);
})();
