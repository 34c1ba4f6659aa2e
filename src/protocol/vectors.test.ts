/** @module The vectors that native/zig/wire/vectors_test.zig reads too. */

import { expect, test } from "bun:test";
import vectors from "../../native/zig/wire/vectors.json";
import { decode, encode, WireError } from "./cbor.ts";
import { fromWire, toWire } from "./messages.ts";

function bytesOf(hex: string): Uint8Array {
  return new Uint8Array(Buffer.from(hex, "hex"));
}

test("every vector of both planes is in the strict profile", () => {
  for (const { hex } of [...vectors.data, ...vectors.control]) {
    const bytes = bytesOf(hex);
    expect(Buffer.from(encode(decode(bytes))).toString("hex")).toBe(hex);
  }
});

test("control messages are read and written as they were", () => {
  for (const { name, hex } of vectors.control) {
    const message = fromWire(decode(bytesOf(hex)));
    expect({ name, message }).not.toEqual({ name, message: undefined });
    if (message === undefined) continue;
    expect(Buffer.from(encode(toWire(message))).toString("hex")).toBe(hex);
  }
});

test("malformed input is refused, by the codec or as a message", () => {
  for (const { name, hex } of vectors.malformed) {
    let message: unknown;
    try {
      message = fromWire(decode(bytesOf(hex)));
    } catch (error) {
      expect(error).toBeInstanceOf(WireError);
    }
    expect({ name, message }).toEqual({ name, message: undefined });
  }
});

test("a control message with any field missing or of another type is refused", () => {
  for (const { hex } of vectors.control) {
    const value = decode(bytesOf(hex));
    if (!Array.isArray(value)) throw new Error("a vector is no array");
    for (let index = 0; index < value.length; index += 1) {
      const wrong = value.with(index, true);
      expect(fromWire(wrong)).toBeUndefined();
      expect(fromWire(value.slice(0, index))).toBeUndefined();
    }
    expect(fromWire([...value, 1])).toBeUndefined();
  }
});
