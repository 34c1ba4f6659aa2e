/** @module What the native library can tell about this host before any node is opened. */

import { ptr } from "bun:ffi";
import type { Probe } from "../observe/doctor/source.ts";
import { decode } from "../protocol/cbor.ts";
import { check } from "./errors.ts";
import { library } from "./library.ts";

const bytesMax = 64;
const userfault = ["yes", "denied", "missing"] as const;

/** undefined when the library cannot be loaded here. */
export function probeHost(): Probe | undefined {
  let native: ReturnType<typeof library>;
  try {
    native = library();
  } catch {
    return undefined;
  }
  const out = new Uint8Array(bytesMax);
  const length = check("gvm_probe", native.gvm_probe(ptr(out), BigInt(out.length)));
  const answer = decode(out.subarray(0, length));
  if (!Array.isArray(answer)) return undefined;
  const [version, opened, features] = answer;
  if (typeof version !== "number" || typeof opened !== "number") return undefined;
  return {
    kvmApiVersion: version,
    userfault: userfault[opened] ?? "missing",
    userfaultFeatures: Number(features ?? 0),
  };
}
