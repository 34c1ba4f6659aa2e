/**
 * @module This node's end of the control plane, as a pure state machine over all peers: datagrams
 * in, messages out. A peer is known by its address, never by the number it gives itself, since two
 * lists of peers may differ; a process is known by its instance, so that one that was started again
 * is neither taken for the one before nor answered with what that one was still owed.
 */

import { decode, encode, WireError } from "./cbor.ts";
import { headerBytes, headerVersion, readHeader, versionOf, writeHeader } from "./header.ts";
import { type ControlMessage, epochAny, type ForeignHello, toWire } from "./messages.ts";
import { fromWire } from "./parse.ts";
import { isPart, ReliableLink } from "./reliable.ts";

/** Instances of one peer that are gone; datagrams of theirs may still be under way. */
export const goneMax = 64;

export type Endpoint = { readonly address: string; readonly port: number };

/**
 * What became of every datagram: each is in exactly one of the first six. The data plane's are in
 * native/zig/abi.zig.
 */
export type Counters = {
  /** Believed to be a peer's, doubled ones included. */
  received: number;
  /** No head of this plane, or a body that is no frame. */
  malformed: number;
  /** From an address of none of the peers. */
  foreign: number;
  /** From or for a process that is gone. */
  stale: number;
  /** A head of another version. */
  version: number;
  /** A frame that no correct peer sends. */
  refused: number;
  /** Messages, not datagrams: bytes that are no control message. */
  unreadable: number;
  /** Messages, not datagrams: of later epochs than the next, or more than are kept. */
  early: number;
};

export type Arrival =
  /** Dropped: changes nothing but a counter. */
  | { readonly kind: "nothing" }
  /** A peer whose datagrams are of another version. */
  | { readonly kind: "version"; readonly from: number; readonly version: number }
  /** Somebody who is none of the peers greets: it should be told. */
  | { readonly kind: "stranger"; readonly answer: (reason: string, code: number) => Uint8Array }
  | {
      readonly kind: "heard";
      readonly from: number;
      /** The peer is another process than before; what was sent to that one is forgotten. */
      readonly restarted: boolean;
      readonly messages: readonly (ControlMessage | ForeignHello)[];
    };

type Peer = {
  readonly endpoint: Endpoint;
  link: ReliableLink;
  instanceU64: bigint;
  readonly gone: bigint[];
  packetU64: bigint;
};

const nothing: Arrival = { kind: "nothing" };

function lowHalf(instanceU64: bigint): number {
  return Number(instanceU64 & 0xffff_ffffn);
}

export class Channels {
  readonly counters: Counters = {
    received: 0,
    malformed: 0,
    foreign: 0,
    stale: 0,
    version: 0,
    refused: 0,
    unreadable: 0,
    early: 0,
  };
  readonly #node: number;
  readonly #peers: readonly Peer[];
  readonly #instanceU64: bigint;
  #strangersU64 = 1n;

  /** @param instanceU64 random; its low half must not be 0. */
  constructor(node: number, endpoints: readonly Endpoint[], instanceU64: bigint) {
    if (lowHalf(instanceU64) === 0) throw new RangeError("the low half of an instance is 0");
    this.#node = node;
    this.#instanceU64 = instanceU64;
    this.#peers = endpoints.map((endpoint) => ({
      endpoint,
      link: new ReliableLink(),
      instanceU64: 0n,
      gone: [],
      packetU64: 1n,
    }));
  }

  send(to: number, message: ControlMessage): void {
    this.#peers[to]?.link.send(encode(toWire(message)));
  }

  /** Sent once and forgotten. */
  sendOnce(to: number, message: ControlMessage): void {
    this.#peers[to]?.link.sendOnce(encode(toWire(message)));
  }

  /** Everything sent to peers that were ever heard has arrived. */
  get idle(): boolean {
    return this.#peers.every((peer) => peer.instanceU64 === 0n || peer.link.waiting === 0);
  }

  /** The most that any peer makes this node keep: processes of it that are gone, and bytes. */
  get kept(): { readonly gone: number; readonly bytes: number } {
    return {
      gone: Math.max(...this.#peers.map((peer) => peer.gone.length)),
      bytes: Math.max(...this.#peers.map((peer) => peer.link.heldBytes)),
    };
  }

  /** Frames on the way to a peer. */
  waiting(to: number): number {
    return this.#peers[to]?.link.waiting ?? 0;
  }

  receive(datagram: Uint8Array, source: Endpoint): Arrival {
    const { address, port } = source;
    const from = this.#peers.findIndex(
      ({ endpoint }, index) =>
        index !== this.#node && endpoint.port === port && endpoint.address === address,
    );
    const peer = this.#peers[from];
    const version = versionOf(datagram);
    if (version === undefined) return this.#drop("malformed");
    if (version !== headerVersion) {
      this.#drop("version");
      return peer === undefined ? nothing : { kind: "version", from, version };
    }
    const header = readHeader(datagram);
    if (header === undefined) return this.#drop("malformed");
    const body = datagram.subarray(headerBytes);
    if (peer === undefined) return this.#stranger(header.instanceU64, body);
    const { instanceU64, toward } = header;
    const forAnother = toward !== 0 && toward !== lowHalf(this.#instanceU64);
    if (forAnother || peer.gone.includes(instanceU64)) return this.#drop("stale");
    const restarted = peer.instanceU64 !== 0n && peer.instanceU64 !== instanceU64;
    // Only what makes sense may reset a link.
    const link = restarted ? new ReliableLink() : peer.link;
    const received = link.receive(body);
    if (received.dropped !== undefined) return this.#drop(received.dropped);
    if (restarted) this.#replace(peer, link);
    peer.instanceU64 = instanceU64;
    this.counters.received += 1;
    const messages = received.messages.map(readMessage).filter((one) => one !== undefined);
    this.counters.unreadable += received.messages.length - messages.length;
    return { kind: "heard", from, restarted, messages };
  }

  #drop(why: keyof Counters): Arrival {
    this.counters[why] += 1;
    return nothing;
  }

  #replace(peer: Peer, link: ReliableLink): void {
    peer.gone.push(peer.instanceU64);
    if (peer.gone.length > goneMax) peer.gone.shift();
    peer.link = link;
  }

  /** Only a message that waits for an answer gets one, so that two strangers never chat. */
  #stranger(instanceU64: bigint, body: Uint8Array): Arrival {
    this.#drop("foreign");
    if (!isPart(body)) return nothing;
    const answer = (reason: string, code: number) => {
      const link = new ReliableLink();
      const end = { kind: "end", epoch: epochAny, cause: "failed", code, reason } as const;
      link.sendOnce(encode(toWire(end)));
      const [once = new Uint8Array()] = link.poll(0n);
      const header = {
        instanceU64: this.#instanceU64,
        toward: lowHalf(instanceU64),
        source: this.#node,
        destination: 0,
        packetU64: this.#strangersU64,
      };
      this.#strangersU64 += 1n;
      return datagramOf(header, once);
    };
    return { kind: "stranger", answer };
  }

  /** Datagrams to send now. */
  poll(nowNsU64: bigint): readonly { readonly to: Endpoint; readonly datagram: Uint8Array }[] {
    return this.#peers.flatMap((peer, index) => {
      if (index === this.#node) return [];
      return peer.link.poll(nowNsU64).map((body) => {
        const datagram = datagramOf(
          {
            instanceU64: this.#instanceU64,
            toward: lowHalf(peer.instanceU64),
            source: this.#node,
            destination: index,
            packetU64: peer.packetU64,
          },
          body,
        );
        peer.packetU64 += 1n;
        return { to: peer.endpoint, datagram };
      });
    });
  }
}

function datagramOf(header: Parameters<typeof writeHeader>[0], body: Uint8Array): Uint8Array {
  const datagram = new Uint8Array(headerBytes + body.length);
  writeHeader(header, datagram);
  datagram.set(body, headerBytes);
  return datagram;
}

function readMessage(bytes: Uint8Array): ControlMessage | ForeignHello | undefined {
  try {
    return fromWire(decode(bytes));
  } catch (error) {
    if (error instanceof WireError) return undefined;
    throw error;
  }
}
