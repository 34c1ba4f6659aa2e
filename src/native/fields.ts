/** @module Reads the fields of an answer of the native library in order, for abi.ts. */

import type { Wire } from "../protocol/cbor.ts";

export function u64Of(value: Wire): bigint {
  if (typeof value !== "bigint") throw new Error("the native library answered no u64");
  return value;
}

/** What does not fit is a bug of this build: both sides are made from one file. */
export class Fields {
  readonly #items: readonly Wire[];
  readonly #what: string;
  #at = 0;

  constructor(value: Wire, count: number, what: string) {
    this.#what = what;
    this.#items = Array.isArray(value) ? value : [];
    if (this.#items.length !== count) this.#fail();
  }

  #fail(): never {
    throw new Error(`the native library answered a ${this.#what} that is malformed`);
  }

  next(): Wire {
    const value = this.#items[this.#at];
    this.#at += 1;
    return value ?? this.#fail();
  }

  number(): number {
    const value = this.next();
    return typeof value === "number" ? value : this.#fail();
  }

  u64(): bigint {
    return u64Of(this.next());
  }

  boolean(): boolean {
    const value = this.next();
    return typeof value === "boolean" ? value : this.#fail();
  }

  bytes(): Uint8Array {
    const value = this.next();
    return value instanceof Uint8Array ? value : this.#fail();
  }

  list<T>(read: (item: Wire) => T): readonly T[] {
    const value = this.next();
    return Array.isArray(value) ? value.map(read) : this.#fail();
  }
}
