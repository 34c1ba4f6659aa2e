/**
 * @module "Who is there?" from the doctor to a node's control port, and the answer. Not part of the
 * cluster's protocol, so that every build understands it for ever: the question is 64 bytes or
 * more, the answer 64, never longer, so that a forged sender gains nothing. More zeros show whether
 * datagrams of that size arrive; early builds answer only 64 bytes.
 *
 *     question = "GVM?" nonce(8) zeros      answer = "GVM!" nonce(8) build(text) zeros
 */

/** Of the shortest question, and of every answer. */
export const questionBytes = 64;
const mark = { question: "GVM?", answer: "GVM!" } as const;
const nonceAt = 4;
const textAt = 12;

function starts(bytes: Uint8Array, text: string): boolean {
  return new TextDecoder().decode(bytes.subarray(0, nonceAt)) === text;
}

export function question(length = questionBytes): Uint8Array {
  const bytes = new Uint8Array(length);
  new TextEncoder().encodeInto(mark.question, bytes);
  crypto.getRandomValues(bytes.subarray(nonceAt, textAt));
  return bytes;
}

/** What to send back; undefined when the datagram is no question. */
export function answerTo(datagram: Uint8Array, build: string): Uint8Array | undefined {
  if (datagram.length < questionBytes || !starts(datagram, mark.question)) return undefined;
  const bytes = new Uint8Array(questionBytes);
  new TextEncoder().encodeInto(mark.answer, bytes);
  bytes.set(datagram.subarray(nonceAt, textAt), nonceAt);
  new TextEncoder().encodeInto(build, bytes.subarray(textAt));
  return bytes;
}

/** The build that answers; undefined for anything else, an answer to someone else included. */
export function readAnswer(datagram: Uint8Array, asked: Uint8Array): string | undefined {
  if (datagram.length !== questionBytes || !starts(datagram, mark.answer)) return undefined;
  for (let at = nonceAt; at < textAt; at += 1) if (datagram[at] !== asked[at]) return undefined;
  const text = new TextDecoder().decode(datagram.subarray(textAt)).replace(/\0.*$/s, "");
  // It is printed: no bytes that move a terminal's cursor.
  return /^[\w.-]+$/.test(text) ? text : undefined;
}
