/** @module Who is at the path of a Unix socket; Bun names only few of the errors of connect(2). */

import { dlopen, FFIType, type Pointer, ptr, read } from "bun:ffi";
import { check } from "./errors.ts";

const family = 1; // AF_UNIX
const kind = 1 | 0o4000 | 0o2000000; // SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC

/** Connects and hangs up at once. Throws NativeError, ECONNREFUSED when nobody listens. */
export function tryConnect(path: string): void {
  const { i32, ptr: pointer, u32 } = FFIType;
  const libc = dlopen("libc.so.6", {
    socket: { args: [i32, i32, i32], returns: i32 },
    connect: { args: [i32, pointer, u32], returns: i32 },
    close: { args: [i32], returns: i32 },
    __errno_location: { args: [], returns: pointer },
  });
  const { socket, connect, close, __errno_location: errnoAt } = libc.symbols;
  const checked = (call: string, result: number) =>
    check(call, result < 0 ? -read.i32(errnoAt() as Pointer) : result);
  const name = Buffer.from(`\0\0${path}\0`);
  name.writeUInt16LE(family);
  try {
    const fd = checked("socket", socket(family, kind, 0));
    try {
      checked("connect", connect(fd, ptr(name), name.length));
    } finally {
      close(fd);
    }
  } finally {
    libc.close();
  }
}
