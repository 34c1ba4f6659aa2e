/** @module Decodes the records of the native event ring (native/zig/abi.zig, Event). */

import type { DataEvent } from "../node/dataplane.ts";
import { eventKind } from "./abi.ts";

export const eventBytes = 64;
const dataOffset = 32;

type Record = {
  readonly kind: number;
  readonly node: number;
  readonly more: boolean;
  readonly a: bigint;
  readonly b: bigint;
  readonly c: bigint;
  readonly data: Uint8Array;
};

function record(bytes: Uint8Array, index: number): Record {
  const at = index * eventBytes;
  const view = new DataView(bytes.buffer, bytes.byteOffset + at, eventBytes);
  return {
    kind: view.getUint16(0, true),
    node: view.getUint8(3),
    more: view.getUint32(4, true) !== 0,
    a: view.getBigUint64(8, true),
    b: view.getBigUint64(16, true),
    c: view.getBigUint64(24, true),
    data: bytes.slice(at + dataOffset, at + dataOffset + view.getUint8(2)),
  };
}

/** Turns records into events; a record whose continuation has not arrived yet waits here. */
export class EventDecoder {
  #open: Record | undefined;
  #parts: Uint8Array[] = [];

  /** @param bytes `count` records of 64 bytes each. */
  decode(bytes: Uint8Array, count: number): readonly DataEvent[] {
    const events: DataEvent[] = [];
    for (let index = 0; index < count; index += 1) {
      const next = record(bytes, index);
      this.#parts.push(next.data);
      this.#open ??= next;
      if (next.more) continue;
      const event = toEvent(this.#open, Buffer.concat(this.#parts));
      this.#open = undefined;
      this.#parts = [];
      if (event !== undefined) events.push(event);
    }
    return events;
  }
}

function text(data: Uint8Array): string {
  return new TextDecoder().decode(data);
}

function toEvent(head: Record, data: Uint8Array): DataEvent | undefined {
  switch (head.kind) {
    case eventKind.loaded:
      return { kind: "loaded", tag: Number(head.a) };
    case eventKind.poweroff:
      return { kind: "poweroff" };
    case eventKind.reset:
      return { kind: "reset" };
    case eventKind.debugExit:
      return { kind: "debug-exit", code: Number(head.a) };
    case eventKind.crash:
      return { kind: "crash", vcpu: Number(head.a), reason: text(data) };
    case eventKind.stopped:
      return { kind: "stopped" };
    case eventKind.peerRefused:
      return { kind: "peer-refused", node: head.node, answered: head.a === 0n };
    case eventKind.peerSilent:
      return { kind: "peer-silent", node: head.node, silentMs: Number(head.a) };
    case eventKind.narrowed:
      return { kind: "narrowed", node: head.node, bytes: Number(head.a) };
    case eventKind.engineError:
      return { kind: "engine-error", reason: text(data) };
    case eventKind.disk:
      return { kind: "disk", disk: Number(head.a), reason: text(data) };
    case eventKind.answer:
      return { kind: "answer", id: Number(head.a), status: Number(head.b), data };
    case eventKind.debugStop:
      return { kind: "debug-stop", vcpu: Number(head.a), ripU64: head.b, dr6U64: head.c };
    case eventKind.io:
      return {
        kind: "io",
        id: Number(head.a),
        fromNode: head.node,
        vcpu: Number((head.c >> 40n) & 0xffn),
        space: ((head.c >> 33n) & 1n) === 1n ? "mmio" : "port",
        write: ((head.c >> 32n) & 1n) === 1n,
        addressU64: head.b,
        size: Number(head.c & 0xffn),
        count: Number((head.c >> 8n) & 0xffffffn),
        data,
      };
    default:
      return undefined;
  }
}
