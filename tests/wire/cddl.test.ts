/**
 * @module docs/wire.cddl is what both codecs do: the vectors are of its rules, every message has
 * one, and kinds and fields are those of message.zig and messages.ts.
 */

import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import vectors from "../../native/zig/wire/vectors.json";
import { decode, encode, type Wire } from "../../src/protocol/cbor.ts";
import { kinds } from "../../src/protocol/messages.ts";
import { ReliableLink } from "../../src/protocol/reliable.ts";
import { type Item, matches, parseCddl, type Type } from "./cddl.ts";

const root = join(import.meta.dir, "../..");
const rules = parseCddl(readFileSync(join(root, "docs/wire.cddl"), "utf8"));
const zig = readFileSync(join(root, "native/zig/wire/message.zig"), "utf8");

function decoded(hex: string): Wire {
  return decode(new Uint8Array(Buffer.from(hex, "hex")));
}

function namesIn(type: Type | undefined): readonly string[] {
  if (type?.kind === "name") return [type.name];
  return type?.kind === "either" ? type.of.flatMap(namesIn) : [];
}

type Described = { readonly name: string; readonly kind: number; readonly fields: readonly Item[] };

/** The messages of one plane: name, kind number, fields after it. */
function messagesOf(union: string): readonly Described[] {
  return namesIn(rules.get(union)).map((name) => {
    const type = rules.get(name);
    if (type?.kind !== "array") throw new Error(`${name} is no array`);
    const [kind, ...fields] = type.items;
    if (kind?.of.kind !== "range" || kind.of.from !== kind.of.to) throw new Error(name);
    return { name, kind: kind.of.from, fields };
  });
}

const planes = [
  ["data-message", vectors.data],
  ["control-message", vectors.control],
] as const;

for (const [union, list] of planes) {
  test(`every vector is a ${union}, and every ${union} has a vector`, () => {
    const seen = new Set<Wire>();
    for (const { name, hex } of list) {
      const value = decoded(hex);
      expect({ name, fits: matches(rules, union, value) }).toEqual({ name, fits: true });
      if (Array.isArray(value)) seen.add(value[0] as Wire);
    }
    const missing = messagesOf(union).filter(({ kind }) => !seen.has(kind));
    expect(missing.map(({ name }) => name)).toEqual([]);
  });

  test(`a ${union} with a field more, less or of another type is none`, () => {
    for (const { hex } of list) {
      const value = decoded(hex) as readonly Wire[];
      expect(matches(rules, union, [...value, 1])).toBe(false);
      expect(matches(rules, union, value.slice(0, -1))).toBe(false);
      for (const [index, field] of value.entries()) {
        const other = typeof field === "boolean" ? "text" : true;
        expect(matches(rules, union, value.with(index, other))).toBe(false);
      }
    }
  });
}

test("kind numbers are used once", () => {
  const all = planes.flatMap(([union]) => messagesOf(union).map(({ kind }) => kind));
  expect(new Set(all).size).toBe(all.length);
});

test("the control plane's kinds are those of messages.ts", () => {
  const described = messagesOf("control-message").map(({ name, kind }) => [
    name.replace("clock-", ""),
    kind,
  ]);
  expect(Object.fromEntries(described)).toEqual(kinds);
});

function kebab(name: string): string {
  return name
    .replaceAll("_", "-")
    .replaceAll(/\B[A-Z]/g, "-$&")
    .toLowerCase();
}

/** Fields of each struct of message.zig, in order, by the kebab form of its name. */
function zigStructs(): ReadonlyMap<string, readonly string[]> {
  const found = zig.matchAll(/pub const (\w+) = struct \{(.*?)\};/gs);
  return new Map(
    [...found].map(([, name = "", body = ""]) => {
      const plain = body.replaceAll(/\/\/.*$/gm, "");
      return [kebab(name), [...plain.matchAll(/(\w+):/g)].map((match) => kebab(match[1]!))];
    }),
  );
}

test("the data plane's kinds and fields are those of message.zig", () => {
  const body = /pub const Kind = enum\(u8\) \{(.*?)\};/s.exec(zig)?.[1] ?? "";
  const zigKinds = [...body.matchAll(/(\w+) = (\d+)/g)].map(([, name = "", kind]) => [
    kebab(name),
    Number(kind),
  ]);
  const described = messagesOf("data-message");
  expect(Object.fromEntries(described.map(({ name, kind }) => [name, kind]))).toEqual(
    Object.fromEntries(zigKinds),
  );
  const structs = zigStructs();
  for (const { name, fields } of described) {
    // A field without a name of its own is called as its rule.
    const names = fields.map((field) => field.name ?? namesIn(field.of as Type)[0] ?? "?");
    const called = names.map((field) => (field === "page-bytes" ? "bytes" : field));
    expect({ name, fields: called }).toEqual({ name, fields: [...(structs.get(name) ?? [])] });
  }
});

test("what a reliable link sends are control-frames", () => {
  const [a, b] = [new ReliableLink(), new ReliableLink()];
  const message = encode([kinds.console, new Uint8Array(3000)]);
  a.send(message);
  a.sendOnce(encode([kinds.alive]));
  const sent = a.poll(0n);
  for (const body of sent) b.receive(body);
  const frames = [...sent, ...b.poll(0n)].map((body) => decode(body) as readonly Wire[]);
  expect([...new Set(frames.map(([kind]) => kind))].toSorted()).toEqual([1, 2, 3]);
  for (const frame of frames) {
    expect({ frame, fits: matches(rules, "control-frame", frame) }).toEqual({ frame, fits: true });
  }
});

test("malformed vectors are no message of either plane", () => {
  for (const { name, hex } of vectors.malformed) {
    let value: Wire;
    try {
      value = decoded(hex);
    } catch {
      continue; // Outside the profile already.
    }
    for (const [union] of planes) {
      expect({ name, fits: matches(rules, union, value) }).toEqual({ name, fits: false });
    }
  }
});
