/**
 * @module As much of CDDL (RFC 8610) as docs/wire.cddl uses: rules of alternatives, literals,
 * ranges, arrays with optional member names, repeated groups, and `bytes .cbor rule`.
 */

import { decode, type Wire } from "../../src/protocol/cbor.ts";

export type Item = {
  readonly name: string | undefined;
  readonly many: boolean;
  readonly of: Group;
};
type Group = Type | { readonly kind: "group"; readonly items: readonly Item[] };
export type Type =
  | { readonly kind: "range"; readonly from: number; readonly to: number }
  | { readonly kind: "name"; readonly name: string; readonly cbor: string | undefined }
  | { readonly kind: "array"; readonly items: readonly Item[] }
  | { readonly kind: "either"; readonly of: readonly Type[] };

export type Rules = ReadonlyMap<string, Type>;

class Parser {
  #at = 0;

  constructor(readonly words: readonly string[]) {}

  get done(): boolean {
    return this.#at >= this.words.length;
  }

  #is(word: string, ahead = 0): boolean {
    return this.words[this.#at + ahead] === word;
  }

  #take(): string {
    const word = this.words[this.#at];
    if (word === undefined) throw new Error("a rule ends too early");
    this.#at += 1;
    return word;
  }

  #expect(word: string): void {
    const found = this.#take();
    if (found !== word) throw new Error(`"${found}" where "${word}" should be`);
  }

  type(): Type {
    const of = [this.#one()];
    while (this.#is("/")) {
      this.#take();
      of.push(this.#one());
    }
    return of.length === 1 ? of[0]! : { kind: "either", of };
  }

  #one(): Type {
    if (this.#is("[")) {
      this.#take();
      return { kind: "array", items: this.#items("]") };
    }
    const word = this.#take();
    if (/^\d+$/.test(word)) {
      const from = Number(word);
      if (!this.#is("..")) return { kind: "range", from, to: from };
      this.#take();
      return { kind: "range", from, to: Number(this.#take()) };
    }
    if (!/^[a-z]/.test(word)) throw new Error(`"${word}" is no type`);
    if (!this.#is(".cbor")) return { kind: "name", name: word, cbor: undefined };
    this.#take();
    return { kind: "name", name: word, cbor: this.#take() };
  }

  #items(close: string): readonly Item[] {
    const items: Item[] = [];
    while (!this.#is(close)) {
      items.push(this.#item());
      if (!this.#is(close)) this.#expect(",");
    }
    this.#expect(close);
    return items;
  }

  #item(): Item {
    const many = this.#is("*");
    if (many) this.#take();
    if (this.#is("(")) {
      this.#take();
      return { name: undefined, many, of: { kind: "group", items: this.#items(")") } };
    }
    const name = this.#is(":", 1) ? this.#take() : undefined;
    if (name !== undefined) this.#expect(":");
    return { name, many, of: this.type() };
  }
}

/** @throws Error when the text is not of this subset or names a rule twice. */
export function parseCddl(text: string): Rules {
  const plain = text.replaceAll(/;.*$/gm, "");
  const rules = new Map<string, Type>();
  for (const part of plain.split(/^(?=[a-z][a-z0-9-]* = )/m)) {
    const match = /^([a-z][a-z0-9-]*) = (.*)$/s.exec(part.trim());
    if (match === null) {
      if (part.trim() !== "") throw new Error(`"${part.trim()}" is no rule`);
      continue;
    }
    const [, name = "", body = ""] = match;
    if (rules.has(name)) throw new Error(`${name} is there twice`);
    const words = body.match(/\.cbor|\.\.|\d+|[a-z][a-z0-9-]*|\S/g) ?? [];
    const parser = new Parser(words);
    rules.set(name, parser.type());
    if (!parser.done) throw new Error(`${name}: something follows its type`);
  }
  return rules;
}

function primitive(name: string, value: Wire): boolean | undefined {
  switch (name) {
    case "uint":
      return typeof value === "bigint";
    case "bool":
      return typeof value === "boolean";
    case "text":
      return typeof value === "string";
    case "bytes":
      return value instanceof Uint8Array;
    default:
      return undefined;
  }
}

/** Whether a decoded value is of a rule. */
export function matches(rules: Rules, rule: string, value: Wire): boolean {
  const simple = primitive(rule, value);
  if (simple !== undefined) return simple;
  const type = rules.get(rule);
  if (type === undefined) throw new Error(`no rule ${rule}`);
  return isOf(rules, type, value);
}

function isOf(rules: Rules, type: Type, value: Wire): boolean {
  switch (type.kind) {
    case "range":
      return typeof value === "number" && value >= type.from && value <= type.to;
    case "either":
      return type.of.some((one) => isOf(rules, one, value));
    case "name":
      if (!matches(rules, type.name, value)) return false;
      if (type.cbor === undefined) return true;
      return value instanceof Uint8Array && matches(rules, type.cbor, decode(value));
    case "array":
      return Array.isArray(value) && consume(rules, type.items, value as readonly Wire[]) === 0;
    default:
      return type satisfies never;
  }
}

/** How many values are left after the items; undefined when they do not fit. */
function consume(
  rules: Rules,
  items: readonly Item[],
  values: readonly Wire[],
): number | undefined {
  let rest = values;
  for (const item of items) {
    for (;;) {
      const left = consumeOne(rules, item.of, rest);
      if (left === undefined && !item.many) return undefined;
      if (left === undefined) break;
      rest = rest.slice(rest.length - left);
      if (!item.many || left === 0) break;
    }
  }
  return rest.length;
}

function consumeOne(rules: Rules, of: Group, values: readonly Wire[]): number | undefined {
  if (of.kind === "group") return consume(rules, of.items, values);
  const [first] = values;
  return first !== undefined && isOf(rules, of, first) ? values.length - 1 : undefined;
}
