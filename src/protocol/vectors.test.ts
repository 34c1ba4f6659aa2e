/** @module The vectors that native/zig/wire/vectors_test.zig reads too. */

import { expect, test } from "bun:test";
import vectors from "../../native/zig/wire/vectors.json";
import { decode, encode, type Wire, WireError } from "./cbor.ts";
import { protocolVersion, toWire } from "./messages.ts";
import { fromWire } from "./parse.ts";

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
    if (message === undefined || message.kind === "foreign") throw new Error(name);
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
  for (const { name, hex } of vectors.control) {
    const value = decode(bytesOf(hex));
    if (!Array.isArray(value)) throw new Error("a vector is no array");
    // Protocol and build of a Hello are understood in every version, so that it can be answered.
    const frozen = name === "hello" ? 3 : value.length + 1;
    const [, protocol, build] = value as unknown as readonly [number, number, string];
    const refusal = (length: number) =>
      length < frozen ? undefined : ({ kind: "foreign", protocol, build } as const);
    for (let index = 0; index < value.length; index += 1) {
      const wrong = fromWire(value.with(index, true));
      expect({ name, index, wrong }).toEqual({ name, index, wrong: refusal(index) });
      expect(fromWire(value.slice(0, index))).toEqual(refusal(index));
    }
    expect(fromWire([...value, 1])).toEqual(refusal(value.length));
  }
});

function hello(protocol: number, ...rest: readonly Wire[]): Wire {
  return [64, protocol, "build x", ...rest];
}

test("a Hello of another protocol is understood as far as it is frozen", () => {
  const foreign = { kind: "foreign", build: "build x" } as const;
  expect(fromWire(hello(7))).toEqual({ ...foreign, protocol: 7 });
  expect(fromWire(hello(7, 1n, [true], "more"))).toEqual({ ...foreign, protocol: 7 });
  expect(fromWire(hello(protocolVersion, 1))).toEqual({ ...foreign, protocol: protocolVersion });
  expect(fromWire([64, 7n, "build x"])).toBeUndefined();
});
