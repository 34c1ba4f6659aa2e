/** @module What the native library can tell about this host before any node is opened. */

import { dlopen, FFIType, ptr } from "bun:ffi";
import type { Probe, SocketProbe } from "../observe/doctor/source.ts";
import { decode } from "../protocol/cbor.ts";
import { check } from "./errors.ts";
import { type Library, library } from "./library.ts";

const bytesMax = 64;
const userfault = ["yes", "denied", "missing"] as const;

function loaded(): Library | undefined {
  try {
    return library();
  } catch {
    return undefined;
  }
}

/** Numbers of asm-generic/socket.h and linux/in.h, in6.h. */
const mtuOptions = [
  { level: 0, name: 14 }, // IPPROTO_IP, IP_MTU
  { level: 41, name: 24 }, // IPPROTO_IPV6, IPV6_MTU
] as const;

function pathMtu(fd: number): number | undefined {
  const { i32, ptr: pointer } = FFIType;
  const libc = dlopen("libc.so.6", {
    getsockopt: { args: [i32, i32, i32, pointer, pointer], returns: i32 },
  });
  try {
    for (const { level, name } of mtuOptions) {
      const value = new Int32Array(1);
      const length = new Uint32Array([value.byteLength]);
      const { getsockopt } = libc.symbols;
      if (getsockopt(fd, level, name, ptr(value), ptr(length)) === 0) return value[0];
    }
    return undefined;
  } finally {
    libc.close();
  }
}

export const probeSockets: SocketProbe = {
  receiveBuffer: (fd, bytes) => {
    const result = loaded()?.gvm_socket_buffer(fd, bytes);
    return result === undefined || result < 0 ? undefined : result;
  },
  pathMtu,
};

/** undefined when the library cannot be loaded here. */
export function probeHost(): Probe | undefined {
  const native = loaded();
  if (native === undefined) return undefined;
  const out = new Uint8Array(bytesMax);
  const length = check("gvm_probe", native.gvm_probe(ptr(out), BigInt(out.length)));
  const answer = decode(out.subarray(0, length));
  if (!Array.isArray(answer)) return undefined;
  const [version, opened, features, goesFirst] = answer;
  if (typeof version !== "number" || typeof opened !== "number") return undefined;
  return {
    kvmApiVersion: version,
    userfault: userfault[opened] ?? "missing",
    userfaultFeatures: Number(features ?? 0),
    goesFirst: goesFirst === true,
  };
}
