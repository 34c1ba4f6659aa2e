/**
 * @module Everything of the control plane that takes bytes or messages of a peer, and the loaders
 * of kernel images, each as a function of a seed. A target fails by throwing.
 */

import vectors from "../../native/zig/wire/vectors.json";
import { decode, encode, type Wire, WireError } from "../../src/protocol/cbor.ts";
import { headerBytes, readHeader, writeHeader } from "../../src/protocol/header.ts";
import { toWire } from "../../src/protocol/messages.ts";
import { fromWire } from "../../src/protocol/parse.ts";
import { Random } from "../../src/sim/random.ts";
import { channelsTarget } from "./channels.ts";
import { clusterTarget } from "./cluster.ts";
import { forwarderTarget } from "./forwarder.ts";
import { imagesTarget } from "./images.ts";
import { memberTarget } from "./member.ts";
import { changedBytes, changedValue, pick, some } from "./mutate.ts";
import { probeTarget } from "./probe.ts";
import { reliableTarget } from "./reliable.ts";

export type Target = {
  readonly name: string;
  /** Runs in `bun test`; `npm run fuzz` goes on from there. */
  readonly boundedRuns: number;
  readonly run: (random: Random) => void;
};

const bytesOf = (hex: string) => new Uint8Array(Buffer.from(hex, "hex"));
const valid = [...vectors.data, ...vectors.control].map(({ hex }) => bytesOf(hex));
const hostile = vectors.malformed.map(({ hex }) => bytesOf(hex));
const small = valid.filter((bytes) => bytes.length < 1000);
const control = vectors.control.map(({ hex }) => bytesOf(hex));

export function same(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}

function refused(bytes: Uint8Array): Wire | undefined {
  try {
    return decode(bytes);
  } catch (error) {
    if (error instanceof WireError) return undefined;
    throw error;
  }
}

/** Any bytes: refused by a WireError, or exactly what encode writes; the decoder keeps no state. */
function cborTarget(random: Random): void {
  const base = pick(random.chance(20) ? hostile : small, random);
  const bytes = some(base, random, changedBytes);
  const value = refused(bytes);
  if (value !== undefined && !same(encode(value), bytes)) throw new Error("two forms of one value");
  const after = pick(small, random);
  if (!same(encode(decode(after)), after)) throw new Error("a refused input was remembered");
}

/** Any value of the profile as a control message: refused, or the same again. */
function messagesTarget(random: Random): void {
  const value = some(decode(pick(control, random)), random, changedValue);
  const message = fromWire(value);
  // Of a foreign Hello only the beginning is read.
  if (message === undefined || message.kind === "foreign") return;
  if (!same(encode(toWire(message)), encode(value))) throw new Error("a field was changed");
}

function headerTarget(random: Random): void {
  const datagram = new Uint8Array(headerBytes);
  const header = {
    instanceU64: BigInt(1 + random.below(2 ** 32 - 1)) << BigInt(random.below(33)),
    toward: random.below(2 ** 32),
    source: random.below(256),
    destination: random.below(256),
    packetU64: BigInt(random.below(2 ** 32)) << BigInt(random.below(33)),
  };
  writeHeader(header, datagram);
  const bytes = random.chance(50) ? datagram : some(datagram, random, changedBytes);
  const read = readHeader(bytes);
  if (read === undefined) {
    if (bytes === datagram) throw new Error("an own head was refused");
    return;
  }
  const again = new Uint8Array(headerBytes);
  writeHeader(read, again);
  if (!same(again, bytes.subarray(0, headerBytes))) throw new Error("a head was read wrongly");
}

export const targets: readonly Target[] = [
  { name: "cbor", boundedRuns: 10_000, run: cborTarget },
  { name: "messages", boundedRuns: 10_000, run: messagesTarget },
  { name: "header", boundedRuns: 5000, run: headerTarget },
  { name: "reliable", boundedRuns: 200, run: reliableTarget },
  { name: "cluster", boundedRuns: 1000, run: clusterTarget },
  { name: "channels", boundedRuns: 300, run: channelsTarget },
  { name: "member", boundedRuns: 60, run: memberTarget },
  { name: "forwarder", boundedRuns: 400, run: forwarderTarget },
  { name: "probe", boundedRuns: 10_000, run: probeTarget },
  { name: "images", boundedRuns: 1500, run: imagesTarget },
];
