/** @module The doctor's question and a node's answer, and what is neither. */

import { expect, test } from "bun:test";
import { answerTo, question, readAnswer } from "./probe.ts";

test("a question is answered with the build, in no more bytes than it had", () => {
  const asked = question();
  const answer = answerTo(asked, "0123456789abcdef")!;
  expect(readAnswer(answer, asked)).toBe("0123456789abcdef");
  expect(answer.length).toBeLessThanOrEqual(asked.length);
});

test("a question of any size is answered with 64 bytes", () => {
  for (const bytes of [64, 65, 1472, 65_000]) {
    const asked = question(bytes);
    expect(asked.length).toBe(bytes);
    const answer = answerTo(asked, "b")!;
    expect(answer.length).toBe(64);
    expect(readAnswer(answer, asked)).toBe("b");
  }
});

test("what is no question gets no answer, a stranger's answer is not believed", () => {
  const asked = question();
  expect(answerTo(asked.subarray(0, 63), "b")).toBeUndefined();
  expect(answerTo(new Uint8Array(64), "b")).toBeUndefined();
  expect(readAnswer(answerTo(asked, "b")!, question())).toBeUndefined();
  expect(readAnswer(asked, asked)).toBeUndefined();
  expect(readAnswer(answerTo(asked, "\x1b[2J")!, asked)).toBeUndefined();
  expect(answerTo(answerTo(asked, "b")!, "b")).toBeUndefined();
});
