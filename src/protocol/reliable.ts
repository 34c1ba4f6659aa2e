/**
 * @module Reliable datagrams of the control plane as a pure state machine, one per peer: a fixed
 * window of frames, a time-out with back-off, fragments, each message once and in order. Simple on
 * purpose: nothing on the guest's path goes through here.
 */

import { decode, encode, type Wire, WireError } from "./cbor.ts";

/** Bytes of a message in one frame: below the smallest path MTU with all heads. */
const partBytes = 1100;
const windowFrames = 32;
const queueFrames = 4096;
const messageBytesMax = 1 << 20;
const partsMax = Math.ceil(messageBytesMax / partBytes);
/** What a peer can make a link keep: one message, and a window of parts. */
export const heldBytesMax = (partsMax + windowFrames) * partBytes;
const timeoutFirstNsU64 = 50_000_000n;
const timeoutMaxNsU64 = 1_000_000_000n;

const frameKind = { part: 1, ack: 2, once: 3 } as const;

type Frame = {
  readonly sequence: number;
  readonly body: Uint8Array;
  sentNsU64: bigint | undefined;
  tries: number;
};

export type Received = {
  readonly messages: readonly Uint8Array[];
  /**
   * Why a datagram changed nothing: it is no frame, or a frame that no correct peer sends.
   * undefined for one that was taken, doubled ones included.
   */
  readonly dropped?: "malformed" | "refused";
};

const malformed: Received = { messages: [], dropped: "malformed" };
const refused: Received = { messages: [], dropped: "refused" };

export class ReliableLink {
  #next = 1;
  /** Last sequence that has left at least once. */
  #sent = 0;
  readonly #queue: Frame[] = [];
  #expected = 1;
  readonly #early = new Map<number, readonly [number, number, Uint8Array]>();
  #parts: Uint8Array[] = [];
  #ackDue = false;
  readonly #once: Uint8Array[] = [];
  retransmissions = 0;
  duplicates = 0;

  /**
   * Queues a message. Throws when the peer has taken nothing for thousands of frames: whoever has
   * much to send looks at `waiting` first.
   */
  send(message: Uint8Array): void {
    const count = Math.max(1, Math.ceil(message.length / partBytes));
    if (count > partsMax) throw new Error(`a message of ${message.length} bytes is too long`);
    if (this.#queue.length + count > queueFrames) throw new Error("control queue is full");
    for (let index = 0; index < count; index += 1) {
      const bytes = message.subarray(index * partBytes, (index + 1) * partBytes);
      const left = count - 1 - index;
      const body = encode([frameKind.part, this.#next, left, bytes]);
      this.#queue.push({ sequence: this.#next, body, sentNsU64: undefined, tries: 0 });
      this.#next += 1;
    }
  }

  /** Sent once and forgotten: signs of life, clock probes. */
  sendOnce(message: Uint8Array): void {
    this.#once.push(encode([frameKind.once, message]));
  }

  /** Bytes of messages that are not complete yet. */
  get heldBytes(): number {
    const early = [...this.#early.values()].reduce((sum, [, , bytes]) => sum + bytes.length, 0);
    return early + this.#parts.reduce((sum, bytes) => sum + bytes.length, 0);
  }

  /** Frames that are not acknowledged yet. */
  get waiting(): number {
    return this.#queue.length;
  }

  /** Takes the body of one datagram: one frame. */
  receive(body: Uint8Array): Received {
    let value: Wire;
    try {
      value = decode(body);
    } catch {
      return malformed;
    }
    if (!Array.isArray(value)) return malformed;
    const [kind, first, second, third] = value as readonly Wire[];
    if (kind === frameKind.once && first instanceof Uint8Array && value.length === 2) {
      return { messages: [first] };
    }
    if (typeof first !== "number") return malformed;
    if (kind === frameKind.ack && value.length === 2) {
      // Of frames that were never sent: believed, it would lose them.
      if (first > this.#sent) return refused;
      this.#acknowledged(first);
      return { messages: [] };
    }
    const part = typeof second === "number" && third instanceof Uint8Array;
    if (kind !== frameKind.part || !part || value.length !== 4) return malformed;
    // No sender makes these, and they would be kept.
    if (third.length > partBytes || second >= partsMax) return refused;
    if (first >= this.#expected + windowFrames) return refused;
    return { messages: this.#accept(first, second, third) };
  }

  #acknowledged(sequence: number): void {
    while (this.#queue[0] !== undefined && this.#queue[0].sequence <= sequence) this.#queue.shift();
  }

  #accept(sequence: number, left: number, bytes: Uint8Array): readonly Uint8Array[] {
    this.#ackDue = true;
    if (sequence < this.#expected || this.#early.has(sequence)) {
      this.duplicates += 1;
      return [];
    }
    this.#early.set(sequence, [sequence, left, bytes]);
    const messages: Uint8Array[] = [];
    for (;;) {
      const frame = this.#early.get(this.#expected);
      if (frame === undefined) return messages;
      this.#early.delete(this.#expected);
      this.#expected += 1;
      this.#parts.push(frame[2]);
      if (frame[1] > 0 && this.#parts.length < partsMax) continue;
      messages.push(join(this.#parts));
      this.#parts = [];
    }
  }

  /** Datagram bodies to send now: acknowledgement, one-offs, new frames and those timed out. */
  poll(nowNsU64: bigint): readonly Uint8Array[] {
    const out: Uint8Array[] = this.#once.splice(0);
    if (this.#ackDue) {
      out.push(encode([frameKind.ack, this.#expected - 1]));
      this.#ackDue = false;
    }
    for (const frame of this.#queue.slice(0, windowFrames)) {
      const sent = frame.sentNsU64;
      if (sent !== undefined && nowNsU64 < sent + timeoutOf(frame.tries)) continue;
      if (sent !== undefined) this.retransmissions += 1;
      this.#sent = Math.max(this.#sent, frame.sequence);
      frame.sentNsU64 = nowNsU64;
      frame.tries += 1;
      out.push(frame.body);
    }
    return out;
  }
}

/** Whether a body is part of a message that waits for an acknowledgement. */
export function isPart(body: Uint8Array): boolean {
  try {
    const value = decode(body);
    return Array.isArray(value) && value[0] === frameKind.part;
  } catch (error) {
    if (error instanceof WireError) return false;
    throw error;
  }
}

function timeoutOf(tries: number): bigint {
  const doubled = timeoutFirstNsU64 << BigInt(Math.min(Math.max(tries - 1, 0), 10));
  return doubled < timeoutMaxNsU64 ? doubled : timeoutMaxNsU64;
}

function join(parts: readonly Uint8Array[]): Uint8Array {
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  const out = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}
