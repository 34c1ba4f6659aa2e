/**
 * @module Eight bytes of scratch ports, answered by TypeScript: the slow path of the routing table
 * in its smallest form. What is written is read back; anything else routed slow reads as all ones.
 */

import type { Access, Place } from "../protocol/forward.ts";

export const scratchPorts = { first: 0x508, last: 0x50f } as const;

/** A device that TypeScript answers for, now or later. */
export type SlowDevice = {
  readonly place: Place;
  /** What a read gives, nothing for a write; throws or rejects when the device fails. */
  access(access: Access): Uint8Array | Promise<Uint8Array>;
};

/** @param delayMs for tests: the answer comes so much later. */
export function scratchDevice(node: number, delayMs = 0): SlowDevice {
  const ports = new ScratchPorts();
  return {
    place: {
      name: "scratch",
      space: "port",
      firstU64: BigInt(scratchPorts.first),
      lastU64: BigInt(scratchPorts.last),
      node,
      answerMs: 2000,
    },
    access: async (access) => {
      if (delayMs > 0) await Bun.sleep(delayMs);
      return ports.access(access);
    },
  };
}

export class ScratchPorts {
  readonly #bytes = new Uint8Array(scratchPorts.last - scratchPorts.first + 1);

  /** Executes one access; returns what a read gives, nothing for a write. */
  access(access: Access): Uint8Array {
    const offset = Number(access.addressU64) - scratchPorts.first;
    const here =
      access.space === "port" && offset >= 0 && offset + access.size <= this.#bytes.length;
    if (access.write) {
      // `rep outs` sends count units to the same port: the last one stays.
      if (here) this.#bytes.set(access.data.slice(-access.size), offset);
      return new Uint8Array();
    }
    const out = new Uint8Array(access.size * access.count).fill(0xff);
    if (!here) return out;
    const unit = this.#bytes.slice(offset, offset + access.size);
    for (let at = 0; at < out.length; at += access.size) out.set(unit, at);
    return out;
  }
}
