/**
 * @module The control plane's link between two honest nodes and a third that adds what it likes
 * but cannot forge a part; and a link whose peer sends anything. The first delivers all in order,
 * the second keeps within its bound.
 */

import { decode, encode, type Wire } from "../../src/protocol/cbor.ts";
import { heldBytesMax, ReliableLink } from "../../src/protocol/reliable.ts";
import type { Random } from "../../src/sim/random.ts";
import { changedBytes, changedValue, pick, some } from "./mutate.ts";

const stepNsU64 = 60_000_000n;
const roundsMax = 2000;

export function reliableTarget(random: Random): void {
  if (random.chance(50)) honest(random);
  else alone(random);
}

/** A body that an honest link must not believe: no frame, or an acknowledgement of the future. */
function noise(bodies: readonly Uint8Array[], random: Random): Uint8Array {
  if (random.chance(30)) return encode([2, 1_000_000 + random.below(2 ** 31)]);
  const base = bodies.length > 0 ? pick(bodies, random) : encode([2, 0]);
  const bytes = some(base, random, changedBytes);
  try {
    decode(bytes);
    return new Uint8Array(random.below(20)).fill(0xff);
  } catch {
    return bytes;
  }
}

function honest(random: Random): void {
  const links = [new ReliableLink(), new ReliableLink()] as const;
  const sent: [Uint8Array[], Uint8Array[]] = [[], []];
  const got: [number, number] = [0, 0];
  let now = 0n;
  const take = (to: 0 | 1, body: Uint8Array) => {
    for (const message of links[to].receive(body).messages) {
      const wanted = sent[1 - to]?.[got[to]];
      if (wanted === undefined || Buffer.compare(wanted, message) !== 0) {
        throw new Error("a message came twice, torn or out of order");
      }
      got[to] += 1;
    }
  };
  for (let round = 0; round < roundsMax; round += 1) {
    const calm = round > 60;
    const early: Uint8Array[] = [];
    for (const from of [0, 1] as const) {
      if (!calm && random.chance(30)) {
        const message = new Uint8Array(random.below(5000)).fill(random.below(256));
        sent[from].push(message);
        links[from].send(message);
      }
      for (const body of links[from].poll(now)) {
        early.push(body);
        const to = from === 0 ? 1 : 0;
        if (!calm && random.chance(20)) take(to, noise(early, random));
        if (!calm && random.chance(20)) continue;
        take(to, body);
        if (!calm && random.chance(20)) take(to, body);
      }
    }
    now += stepNsU64;
    if (calm && links[0].waiting + links[1].waiting === 0) break;
  }
  if (got[0] !== sent[1].length || got[1] !== sent[0].length) throw new Error("a message was lost");
}

function alone(random: Random): void {
  const link = new ReliableLink();
  const large = new Uint8Array(20_000);
  let now = 0n;
  let sequence = 1;
  for (let step = 0; step < 400; step += 1) {
    const bytes = random.chance(30) ? large : new Uint8Array(random.below(1300));
    const frame: Wire = random.chance(80)
      ? [1, sequence, random.below(3000), bytes]
      : [2, random.below(9)];
    const whole = random.chance(80);
    link.receive(encode(whole ? frame : some(frame, random, changedValue)));
    // Without a hole, or nothing behind it would be put together.
    if (whole && Array.isArray(frame) && frame[0] === 1) sequence += 1;
    if (link.heldBytes > heldBytesMax) throw new Error(`the link holds ${link.heldBytes} bytes`);
    link.poll((now += stepNsU64));
  }
}
