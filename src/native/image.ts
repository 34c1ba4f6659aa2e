/** @module Disk images: opened and locked once for the life of the VM, whatever epoch it is in. */

import { ptr } from "bun:ffi";
import { encode } from "../protocol/cbor.ts";
import * as abi from "./abi.ts";
import { check } from "./errors.ts";
import { library } from "./library.ts";

export type Image = { readonly descriptor: number; readonly bytes: number };

/** Throws NativeError: EAGAIN when another has it locked, ENODEV for what is no file or disk. */
export function openImage(path: string, readOnly: boolean): Image {
  const options = encode(abi.wireImageOptions({ path: new TextEncoder().encode(path), readOnly }));
  const out = new BigUint64Array(2);
  const length = BigInt(options.length);
  check("gvm_image_open", library().gvm_image_open(ptr(options), length, ptr(out)));
  return { descriptor: Number(out[0]), bytes: Number(out[1]) };
}

/** Flushes first; throws NativeError when that failed, closed all the same. */
export function closeImage(image: Image): void {
  check("gvm_image_close", library().gvm_image_close(image.descriptor));
}
