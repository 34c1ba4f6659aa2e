/**
 * @module Where the doctor looks: files of /proc and /sys, and what only a system call can tell.
 * Tests give it another host.
 */

import {
  closeSync,
  constants,
  existsSync,
  openSync,
  readFileSync,
  readlinkSync,
  statSync,
} from "node:fs";
import { networkInterfaces } from "node:os";

export type Access = "yes" | "missing" | "denied";

/** What the native library found by asking the kernel (native/zig/sys/probe.zig). */
export type Probe = {
  /** 0 when /dev/kvm cannot be opened. */
  readonly kvmApiVersion: number;
  /** A userfaultfd that sees the kernel's own accesses could be opened. */
  readonly userfault: "yes" | "denied" | "missing";
  /** Bits of struct uffdio_api.features; 0 when none could be opened. */
  readonly userfaultFeatures: number;
  /** A thread of this process may go before ordinary ones (SCHED_RR). */
  readonly goesFirst: boolean;
};

/** What sockets of this process are really given; undefined when the library cannot be used. */
export type SocketProbe = {
  /** Asks for a receive buffer as the engine does; returns the bytes granted. */
  readonly receiveBuffer: (fd: number, bytes: number) => number | undefined;
  /** Largest IP packet the route of a connected socket takes, as the kernel knows it. */
  readonly pathMtu: (fd: number) => number | undefined;
};

export interface HostSource {
  /** Trimmed text of a small file, undefined where there is none or it is not readable. */
  text(path: string): string | undefined;
  /** What a symbolic link says, undefined where there is none or it is not readable. */
  link(path: string): string | undefined;
  exists(path: string): boolean;
  /** Can this process open the character device for reading and writing? Tried, as modes lie. */
  device(path: string): Access;
  /** undefined when the native library cannot be used. */
  probe(): Probe | undefined;
  readonly sockets: SocketProbe;
  /** Names of network interfaces that are up and carry an address, loopback last. */
  interfaces(): readonly string[];
}

const noSockets: SocketProbe = { receiveBuffer: () => undefined, pathMtu: () => undefined };

export function realHost(probe: () => Probe | undefined, sockets = noSockets): HostSource {
  return {
    sockets,
    text: (path) => unlessRefused(() => readFileSync(path, "utf8").trim()),
    link: (path) => unlessRefused(() => readlinkSync(path)),
    exists: (path) => existsSync(path),
    device: (path) => {
      if (!existsSync(path) || !statSync(path).isCharacterDevice()) return "missing";
      try {
        closeSync(openSync(path, constants.O_RDWR));
        return "yes";
      } catch (error) {
        // A node without its driver is there for `ls` only.
        const code = error instanceof Error && "code" in error ? error.code : "";
        return code === "ENODEV" || code === "ENXIO" ? "missing" : "denied";
      }
    },
    probe,
    interfaces: () => {
      const all = Object.entries(networkInterfaces());
      const internal = (name: string) =>
        all.some(([key, list]) => key === name && list?.some((entry) => entry.internal));
      return all.map(([name]) => name).sort((a, b) => Number(internal(a)) - Number(internal(b)));
    },
  };
}

function unlessRefused(read: () => string): string | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}
