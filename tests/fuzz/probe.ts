/**
 * @module The doctor's question and its answer as any bytes: what is answered is a question and
 * gets no more bytes than it had, an answer is no question, and what is read can be printed.
 */

import { answerTo, question, readAnswer } from "../../src/net/probe.ts";
import type { Random } from "../../src/sim/random.ts";
import { changedBytes, pick, some } from "./mutate.ts";

const nonce = [4, 12] as const;
const builds = [
  "0123456789abcdef",
  "",
  "\x1b[2J",
  "é".repeat(60),
  "a".repeat(52),
  "b\0c",
  "1.0-x_y",
];

function sameNonce(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a.subarray(...nonce), b.subarray(...nonce)) === 0;
}

function asked(random: Random): Uint8Array {
  const bytes = random.chance(50) ? question() : question(64 + random.below(2000));
  for (let at: number = nonce[0]; at < nonce[1]; at += 1) bytes[at] = random.below(256);
  return bytes;
}

export function probeTarget(random: Random): void {
  const own = asked(random);
  const build = pick(builds, random);
  const received = random.chance(50) ? own : some(own, random, changedBytes);
  const answer = answerTo(received, build);
  if (answer === undefined) {
    if (received === own) throw new Error("a question was not answered");
    return;
  }
  if (answer.length > received.length) throw new Error("an answer is longer than its question");
  if (!sameNonce(answer, received)) throw new Error("an answer to another question");
  if (answerTo(answer, build) !== undefined) throw new Error("an answer was answered");
  const back = random.chance(50) ? answer : some(answer, random, changedBytes);
  const read = readAnswer(back, own);
  if (read === undefined) {
    const printable = /^[\w.-]{1,52}$/.test(build);
    if (back === answer && received === own && printable) throw new Error("an answer was refused");
    return;
  }
  if (!/^[\w.-]{1,52}$/.test(read)) throw new Error(`${JSON.stringify(read)} would be printed`);
  if (!sameNonce(back, own)) throw new Error("another's answer was believed");
}
