/**
 * @module Packets of GDB's remote serial protocol (GDB manual, appendix E, "Overview"): `$text#sum`
 * both ways, `}` escapes, a lone byte 3 interrupts. Pure.
 */

const [dollar, hash, escape, interruptByte] = [0x24, 0x23, 0x7d, 0x03];
const escapeFlip = 0x20;
/** Longest packet, in bytes; told to gdb in hexadecimal (qSupported). */
export const packetMax = 0x4000;

export type Arrival =
  | { readonly kind: "packet"; readonly text: string }
  | { readonly kind: "interrupt" }
  /** Its sum is wrong: to be asked for again. */
  | { readonly kind: "damaged" };

function sumOf(bytes: Uint8Array): number {
  return bytes.reduce((sum, byte) => (sum + byte) & 0xff, 0);
}

function twoDigits(byte: number): string {
  return byte.toString(16).padStart(2, "0");
}

/** A packet as it goes out. The text is Latin-1, one byte a character. */
export function packetOf(text: string): Uint8Array {
  const body = [...Buffer.from(text, "latin1")].flatMap((byte) =>
    byte === dollar || byte === hash || byte === escape || byte === 0x2a
      ? [escape, byte ^ escapeFlip]
      : [byte],
  );
  const sum = twoDigits(sumOf(Uint8Array.from(body)));
  return Uint8Array.from([dollar, ...body, hash, ...Buffer.from(sum, "latin1")]);
}

function unescaped(body: Uint8Array): string {
  const out: number[] = [];
  for (let index = 0; index < body.length; index += 1) {
    const byte = body[index] ?? 0;
    if (byte !== escape) out.push(byte);
    else {
      index += 1;
      out.push((body[index] ?? 0) ^ escapeFlip);
    }
  }
  return Buffer.from(out).toString("latin1");
}

/** Bytes as they come, whole packets out; acknowledgements are passed over. */
export class PacketReader {
  #rest: Uint8Array = new Uint8Array();

  take(bytes: Uint8Array): readonly Arrival[] {
    const all = Uint8Array.from([...this.#rest, ...bytes]);
    const out: Arrival[] = [];
    let at = 0;
    while (at < all.length) {
      if (all[at] === interruptByte) out.push({ kind: "interrupt" });
      if (all[at] !== dollar) {
        at += 1;
        continue;
      }
      const end = all.indexOf(hash, at);
      if (end < 0 || end + 2 >= all.length) break;
      const body = all.subarray(at + 1, end);
      const told = Buffer.from(all.subarray(end + 1, end + 3)).toString("latin1");
      const right = told.toLowerCase() === twoDigits(sumOf(body));
      out.push(right ? { kind: "packet", text: unescaped(body) } : { kind: "damaged" });
      at = end + 3;
    }
    // Of an endless packet nothing is kept.
    this.#rest = all.length - at > packetMax ? new Uint8Array() : all.slice(at);
    return out;
  }
}

/** A number's bytes, lowest first, as hexadecimal digits. */
export function littleEndian(valueU64: bigint, bytes: number): string {
  return Array.from({ length: bytes }, (_, index) =>
    twoDigits(Number((valueU64 >> BigInt(8 * index)) & 0xffn)),
  ).join("");
}

/** undefined for what are no such digits. */
export function fromLittleEndian(digits: string): bigint | undefined {
  if (!/^([0-9a-f]{2}){1,8}$/i.test(digits)) return undefined;
  return BigInt(`0x${digits.match(/../g)?.toReversed().join("") ?? "0"}`);
}
