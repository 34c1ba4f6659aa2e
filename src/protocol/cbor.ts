/**
 * @module The strict CBOR profile of the wire (RFC 8949): definite arrays, unsigned integers, byte
 * and text strings, booleans. A number is a u32 in its shortest form, a bigint is a u64 and always
 * takes 9 bytes (a documented deviation from section 4.2.1); nothing else exists. What does not
 * encode back to the same bytes is refused, so every value has exactly one form on the wire.
 */

import { Encoder } from "cbor-x/index-no-eval";

export type Wire = number | bigint | boolean | string | Uint8Array | readonly Wire[];

export class WireError extends Error {
  override readonly name = "WireError";
}

const u32Max = 0xffff_ffff;
const u64Max = 0xffff_ffff_ffff_ffffn;
const depthMax = 8;

const codec = new Encoder({
  tagUint8Array: false,
  useRecords: false,
  mapsAsObjects: false,
  useTag259ForMaps: false,
  int64AsNumber: false,
} as ConstructorParameters<typeof Encoder>[0]);

function validate(value: unknown, depth: number): asserts value is Wire {
  if (depth > depthMax) throw new WireError(`nested deeper than ${depthMax}`);
  switch (typeof value) {
    case "boolean":
    case "string":
      return;
    case "number":
      if (Number.isInteger(value) && value >= 0 && value <= u32Max && !Object.is(value, -0)) return;
      throw new WireError(`${value} is not a 32-bit unsigned integer`);
    case "bigint":
      if (value >= 0n && value <= u64Max) return;
      throw new WireError(`${value} is not a 64-bit unsigned integer`);
    case "object":
      if (value instanceof Uint8Array) return;
      if (Array.isArray(value)) {
        for (const item of value) validate(item, depth + 1);
        return;
      }
      throw new WireError("only arrays and byte strings may be nested");
    default:
      throw new WireError(`a ${typeof value} cannot be sent`);
  }
}

/** Encodes one value. Throws WireError for what the profile does not know. */
export function encode(value: Wire): Uint8Array {
  validate(value, 0);
  return new Uint8Array(codec.encode(value));
}

/** Decodes exactly one value; byte strings alias `bytes`. Throws WireError when malformed. */
export function decode(bytes: Uint8Array): Wire {
  let value: unknown;
  try {
    value = codec.decode(bytes);
  } catch (error) {
    throw new WireError(error instanceof Error ? error.message : "malformed", { cause: error });
  }
  validate(value, 0);
  const again = codec.encode(value);
  if (!sameBytes(again, bytes)) throw new WireError("not in the strict profile");
  return value;
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let index = 0; index < a.length; index += 1) if (a[index] !== b[index]) return false;
  return true;
}
