/** @module Packets of gdb's protocol, whole, in pieces and damaged. */

import { expect, test } from "bun:test";
import { fromLittleEndian, littleEndian, packetOf, PacketReader } from "./rsp.ts";

function latin(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text, "latin1"));
}

test("packets are framed with their sum and escaped", () => {
  expect(Buffer.from(packetOf("OK")).toString("latin1")).toBe("$OK#9a");
  const text = "a$b#c}d*e";
  const packet = packetOf(text);
  expect(packet.filter((byte) => byte === 0x24).length).toBe(1);
  expect(new PacketReader().take(packet)).toEqual([{ kind: "packet", text }]);
});

test("packets come in pieces, among acknowledgements and an interrupt", () => {
  const reader = new PacketReader();
  const seen = [..."+$g#67\u0003+$m10,4#8e"].flatMap((byte) => reader.take(latin(byte)));
  expect(seen).toEqual([{ kind: "packet", text: "g" }, { kind: "interrupt" }, { kind: "damaged" }]);
  expect(reader.take(packetOf("m10,4"))).toEqual([{ kind: "packet", text: "m10,4" }]);
});

test("a packet without an end is not kept for ever", () => {
  const reader = new PacketReader();
  for (let index = 0; index < 20; index += 1) {
    expect(reader.take(latin(`$${"a".repeat(1000)}`))).toEqual([]);
  }
  expect(reader.take(packetOf("g")).at(-1)).not.toBeUndefined();
  expect(reader.take(packetOf("?"))).toEqual([{ kind: "packet", text: "?" }]);
});

test("numbers have their lowest byte first", () => {
  expect(littleEndian(0x1234n, 4)).toBe("34120000");
  expect(fromLittleEndian("3412000000000000")).toBe(0x1234n);
  for (const wrong of ["", "1", "xx", "00".repeat(9)]) {
    expect(fromLittleEndian(wrong)).toBeUndefined();
  }
});
