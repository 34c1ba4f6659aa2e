/** @module Little-endian fields in byte strings: what tables and headers are made of. */

/** Appends fields one after the other. */
export class Fields {
  readonly #bytes: number[] = [];

  get length(): number {
    return this.#bytes.length;
  }

  u8(...values: readonly number[]): this {
    for (const value of values) this.#bytes.push(value & 0xff);
    return this;
  }

  u16(...values: readonly number[]): this {
    for (const value of values) this.u8(value, value >>> 8);
    return this;
  }

  u32(...values: readonly number[]): this {
    for (const value of values) this.u16(value & 0xffff, value >>> 16);
    return this;
  }

  u64(...values: readonly bigint[]): this {
    for (const value of values) {
      this.u32(Number(value & 0xffffffffn), Number((value >> 32n) & 0xffffffffn));
    }
    return this;
  }

  /** ASCII, padded with zeros or cut to `length`. */
  text(text: string, length = text.length): this {
    for (let i = 0; i < length; i += 1) this.u8(i < text.length ? text.charCodeAt(i) : 0);
    return this;
  }

  zero(length: number): this {
    return this.text("", length);
  }

  raw(bytes: Uint8Array): this {
    for (const byte of bytes) this.#bytes.push(byte);
    return this;
  }

  bytes(): Uint8Array {
    return Uint8Array.from(this.#bytes);
  }
}

export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

export function alignUp(value: number, alignment: number): number {
  return Math.ceil(value / alignment) * alignment;
}
