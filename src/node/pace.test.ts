/** @module When a node ticks, by a clock that the test moves. */

import { afterEach, beforeEach, expect, jest, test } from "bun:test";
import { Pace } from "./pace.ts";

beforeEach(() => void jest.useFakeTimers());
afterEach(() => {
  jest.clearAllTimers();
  jest.useRealTimers();
});

function paceOf(nodes = 2) {
  const state = { calm: true, ticks: 0, onTick: () => {} };
  const pace = new Pace({
    nodes,
    calm: () => state.calm,
    tick: () => {
      state.ticks += 1;
      state.onTick();
    },
  });
  /** Ticks within so many milliseconds. */
  const within = (ms: number) => {
    const before = state.ticks;
    for (let time = 0; time < ms; time += 1) jest.advanceTimersByTime(1);
    return state.ticks - before;
  };
  return { pace, state, within };
}

test("ticks come every 5 ms while anything is under way, every 50 ms while nothing is", () => {
  const { pace, state, within } = paceOf();
  state.calm = false;
  pace.start();
  expect(within(4)).toBe(0);
  expect(within(1)).toBe(1);
  expect(within(100)).toBe(20);
  state.calm = true;
  // The sleep that had begun was a short one.
  expect(within(5)).toBe(1);
  expect(within(49)).toBe(0);
  expect(within(1)).toBe(1);
  expect(within(500)).toBe(10);
});

test("each of many peers is asked once in 200 ms, at most one in 5 ms", () => {
  for (const [nodes, ms] of [
    [1, 50],
    [4, 50],
    [8, 25],
    [64, 5],
  ] as const) {
    const { pace, within } = paceOf(nodes);
    pace.start();
    expect(within(ms - 1)).toBe(0);
    expect(within(1)).toBe(1);
    pace.stop();
  }
});

test("who is roused from a long sleep ticks soon, if there is a reason", () => {
  const { pace, state, within } = paceOf();
  pace.start();
  expect(within(30)).toBe(0);
  state.calm = false;
  pace.rouse();
  expect(within(4)).toBe(0);
  expect(within(1)).toBe(1);
  // There was one sleep at any time: the long one is not what comes next.
  expect(jest.getTimerCount()).toBe(1);
  expect(within(50)).toBe(10);
});

test("who is roused for nothing sleeps on, and ticks when it would have", () => {
  const { pace, within } = paceOf();
  pace.start();
  expect(within(49)).toBe(0);
  pace.rouse();
  expect(within(1)).toBe(1);
});

test("a short sleep is not begun anew, however often there is a reason", () => {
  const { pace, state, within } = paceOf();
  state.calm = false;
  pace.start();
  for (let time = 0; time < 4; time += 1) {
    pace.rouse();
    expect(within(1)).toBe(0);
  }
  pace.rouse();
  expect(within(1)).toBe(1);
});

test("a reason that comes up in a tick makes no second sleep", () => {
  const { pace, state, within } = paceOf();
  state.onTick = () => {
    state.calm = false;
    pace.rouse();
  };
  pace.start();
  expect(within(50)).toBe(1);
  expect(jest.getTimerCount()).toBe(1);
  expect(within(5)).toBe(1);
});

test("nothing ticks before the start and after the stop", () => {
  const { pace, within } = paceOf();
  pace.rouse();
  expect(within(100)).toBe(0);
  pace.start();
  pace.stop();
  expect(jest.getTimerCount()).toBe(0);
  expect(within(100)).toBe(0);
});
