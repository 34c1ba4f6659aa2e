/** @module Questions between nodes where the way to another node is full. */

import { expect, test } from "bun:test";
import type { ControlMessage } from "../protocol/messages.ts";
import { Questions } from "./questions.ts";

/** Node 0 of two; what it sends to node 1 stays on the way, a frame each. */
function questionsOf() {
  const sent: ControlMessage[] = [];
  const state = { waiting: 0 };
  const questions = new Questions({
    node: 0,
    names: ["a", "b"],
    dataPlane: () => undefined,
    vcpus: () => [],
    counters: () => ({ exits: 3n }),
    waiting: (to) => {
      expect(to).toBe(1);
      return state.waiting;
    },
    send: (to, message) => {
      expect(to).toBe(1);
      sent.push(message);
      state.waiting += 1;
    },
  });
  return { questions, sent, state };
}

const counters = JSON.stringify({ ask: "counters" });

test("a node to which much is on its way is not asked, which is told at once", async () => {
  const { questions, sent, state } = questionsOf();
  state.waiting = 1024;
  const [own, other] = await questions.ask({ ask: "counters" });
  expect(own).toEqual({ node: 0, name: "node 0 (a)", value: { exits: 3 } });
  expect(other).toMatchObject({ node: 1, error: expect.stringMatching(/^too many /) });
  expect(sent).toEqual([]);
  state.waiting = 1023;
  const answers = questions.ask({ ask: "counters" });
  expect(sent).toEqual([{ kind: "ask", id: 1, text: counters }]);
  questions.answered(1, 1, '{"value":{}}');
  expect((await answers)[1]).toMatchObject({ node: 1, value: {} });
});

test("thousands of questions fill the way with answers and refusals, up to a bound", async () => {
  const { questions, sent, state } = questionsOf();
  for (let id = 0; id < 5000; id += 1) await questions.asked(1, id, counters);
  const texts = sent.map((message) => ("text" in message ? message.text : message.kind));
  expect(texts.filter((text) => text === '{"value":{"exits":3}}').length).toBe(1024);
  expect(texts.filter((text) => /^\{"error":"too many .*"\}$/.test(text)).length).toBe(1024);
  expect(texts.length).toBe(2048);
  // The next finds room again.
  state.waiting = 0;
  await questions.asked(1, 7, counters);
  expect(sent.at(-1)).toEqual({ kind: "answer", id: 7, text: '{"value":{"exits":3}}' });
});

test("questions that come together are answered as they end, those beyond 64 refused", async () => {
  const { questions, sent } = questionsOf();
  const all = Array.from({ length: 100 }, (_, id) => questions.asked(1, id, counters));
  await Promise.all(all);
  const refused = sent.filter((message) => "text" in message && message.text.includes("error"));
  expect([sent.length, refused.length]).toEqual([100, 36]);
  await questions.asked(1, 100, counters);
  expect(sent.at(-1)).toMatchObject({ id: 100, text: '{"value":{"exits":3}}' });
});
