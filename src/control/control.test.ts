/** @module Questions as they come, lines in pieces, and what people read of a page and a vCPU. */

import { expect, test } from "bun:test";
import { activity, dumpLines, hotLines, mergeHot, pageLines } from "../debug/text.ts";
import { LineReader, Outgoing } from "./lines.ts";
import { QuestionError, questionOf, toJson, wireQuestion, type Question } from "./question.ts";
import { pageView, vcpuView } from "./views.ts";

const questions: readonly Question[] = [
  { ask: "registers", vcpu: undefined },
  { ask: "registers", vcpu: 3 },
  { ask: "page", gpaU64: 0xffff_ffff_ffff_f000n },
  { ask: "memory", gpaU64: 0x1ff8n, length: 8 },
  { ask: "write", gpaU64: 0x1ffen, bytes: Uint8Array.of(0, 0xab) },
  { ask: "counters" },
  { ask: "hot" },
  { ask: "pause", hold: true, vcpus: undefined },
  { ask: "pause", hold: false, vcpus: [0, 2] },
  { ask: "stops" },
  {
    ask: "guest-debug",
    vcpu: 1,
    step: false,
    breakpoints: [{ addressU64: 0x1234n, kind: 0, size: 3 }],
    int3sU64: [0x2000n, 0x1_0000_0001n],
  },
  { ask: "set-registers", vcpu: 0, valuesU64: [1n, 2n] },
];

test("every question is read as it was written", () => {
  for (const question of questions) {
    expect(questionOf(JSON.parse(toJson(wireQuestion(question))))).toEqual(question);
  }
});

test("what is no question is refused with a sentence that names the field", () => {
  const cases: readonly (readonly [unknown, string])[] = [
    [[], "one JSON object"],
    [{ ask: "sing" }, '"sing" is no question'],
    [{ ask: "page", gpa: 4096 }, '"gpa" is no number'],
    [{ ask: "page", gpa: "0x10000000000000000" }, '"gpa" is no number'],
    [{ ask: "memory", gpa: "0xff9", length: 8 }, "within one page"],
    [{ ask: "memory", gpa: "0x0", length: 4097 }, '"length" is no whole number'],
    [{ ask: "write", gpa: "0xfff", bytes: "0011" }, "within one page"],
    [{ ask: "write", gpa: "0x0", bytes: "001" }, '"bytes" are no pairs'],
    [{ ask: "write", gpa: "0x0", bytes: "" }, '"bytes" are no pairs'],
    [{ ask: "write", gpa: "0x0", bytes: "00".repeat(257) }, '"bytes" are more than 256'],
    [{ ask: "registers", vcpu: -1 }, '"vcpu" is no whole number'],
    [{ ask: "pause" }, '"hold" is neither'],
    [{ ask: "guest-debug", vcpu: 0, step: true, breakpoints: [1] }, "a breakpoint"],
    [
      { ask: "set-registers", vcpu: 0, values: Array.from({ length: 19 }, () => "0x0") },
      "no list of at most 18",
    ],
  ];
  for (const [value, sentence] of cases) {
    expect(() => questionOf(value)).toThrow(QuestionError);
    expect(() => questionOf(value)).toThrow(sentence);
  }
});

test("lines come in pieces, and one without an end is refused", () => {
  const reader = new LineReader(8);
  const of = (text: string) => reader.take(new TextEncoder().encode(text));
  expect(of("ab")).toEqual([]);
  expect(of("c\nde\nf")).toEqual(["abc", "de"]);
  expect(of("123456789")).toBeUndefined();
});

test("what a socket does not take now waits for it, what it never takes is dropped", () => {
  const taken: number[] = [];
  let room = 3;
  const socket = {
    write(bytes: Uint8Array) {
      const now = Math.min(room, bytes.length);
      taken.push(...bytes.subarray(0, now));
      room -= now;
      return now;
    },
  };
  const out = new Outgoing();
  out.push(socket, "hello");
  out.push(socket, "!");
  room = 100;
  out.flush(socket);
  expect(Buffer.from(taken).toString()).toBe("hello!");
  out.push({ write: () => -1 }, "lost");
  out.flush(socket);
  expect(taken.length).toBe(6);
});

const vcpuState = {
  vcpu: 1,
  activity: 2,
  held: false,
  inside: false,
  nowNsU64: 5_000_000n,
  exitNsU64: 4_000_000n,
  waitNsU64: 0n,
  waitGpaU64: 0n,
  general: Array.from({ length: 18 }, (_, index) => BigInt(index)),
  segments: [],
  system: [],
  apicId: 1,
  apicBaseU64: 0xfee0_0d00n,
  tpr: 0,
  svr: 0x1ff,
  lvtTimer: 0x1_00ec,
  timerNsU64: 6_000_000n,
  irr: Uint8Array.of(0xec),
  isr: new Uint8Array(),
};

test("a vCPU is told by names and distances of time", () => {
  const view = vcpuView(vcpuState);
  expect(view).toMatchObject({ activity: "halted", exitAgoMs: 1, waits: null });
  expect(view.general).toMatchObject({ rax: "0x0", rip: "0x10", rflags: "0x11" });
  expect(view.apic).toMatchObject({ timerInMs: 1, irr: [0xec] });
  expect(activity(view)).toBe("halted");
  const waits = vcpuView({ ...vcpuState, waitNsU64: 2_000_000n, waitGpaU64: 0x5000n });
  expect(activity(waits)).toBe("waits for page 0x5000 since 3.0 ms");
});

test("a page tells who has it, who waits for what, and what happened", () => {
  const view = pageView(0x5000n, {
    nowNsU64: 10_000_000n,
    page: 5,
    home: 0,
    state: 0,
    versionU64: 7n,
    lost: true,
    parked: false,
    evicting: false,
    pending: [
      {
        txU64: 9n,
        write: true,
        startNsU64: 8_000_000n,
        haveData: true,
        acksWantedU64: 0b110n,
        acksU64: 0b010n,
        threads: Uint8Array.of(0, 3),
      },
    ],
    deferred: [],
    entry: [{ owner: 255, sharersU64: 0b110n, versionU64: 7n }],
    busy: [
      {
        current: { txU64: 9n, requester: 0, write: true },
        holdersU64: 0b110n,
        waitDone: true,
        waitWriteBack: false,
        queue: [{ txU64: 4n, requester: 2, write: false }],
      },
    ],
    events: [
      { atNsU64: 9_000_000n, what: 9, kind: 21, peer: 1, txU64: 9n, versionU64: 0n },
      { atNsU64: 8_000_000n, what: 2, kind: 0, peer: 3, txU64: 0n, versionU64: 0n },
    ],
  });
  const lines = pageLines(view).map((line) => line.trim());
  expect(lines).toEqual([
    "state invalid, version 0x7",
    "asked for to write since 2.0 ms (0x9) by threads 0, 3; missing: InvAck of nodes 2",
    "directory: owner none, sharers 1, 2, version 0x7",
    "busy for node 0 to write (0x9), waits for its Done; asked nodes 1, 2",
    "behind it: node 2 to read (0x4)",
    "1.0 ms ago  InvAck from node 1, 0x9, version 0x0",
    "2.0 ms ago  write fault of thread 3",
  ]);
});

test("the nodes' hot pages are one list, with the share of page tables", () => {
  const hot = mergeHot([
    {
      node: 0,
      hot: {
        transfers: 10,
        writes: 4,
        pages: [
          { gpa: "0x1000", transfers: 6, writes: 4 },
          { gpa: "0x2000", transfers: 4, writes: 0 },
        ],
      },
    },
    {
      node: 1,
      hot: { transfers: 6, writes: 0, pages: [{ gpa: "0x2000", transfers: 6, writes: 0 }] },
    },
  ]);
  expect(hot.pages.map(({ gpa, transfers }) => [gpa, transfers])).toEqual([
    [0x2000n, 10],
    [0x1000n, 6],
  ]);
  const lines = hotLines(hot, new Map([[0x1000n, 2]]), () => "name", 10);
  expect(lines[1]).toMatch(/^ +10 +0 {2}0x2000 +0:4 1:6 +name$/);
  expect(lines[2]).toContain("page table, level 2; name");
  expect(lines[4]).toStartWith(
    "tables of the address spaces in use now: 1 of these pages, 37.5 % of all transfers, " +
      "100.0 % of those to write",
  );
});

test("memory is shown in rows of sixteen bytes with their text", () => {
  expect(dumpLines(0x1000n, new TextEncoder().encode("hello, world 123\x01"))).toEqual([
    "0000000000001000  68 65 6c 6c 6f 2c 20 77 6f 72 6c 64 20 31 32 33  hello, world 123",
    `0000000000001010  01${" ".repeat(45)}  .`,
  ]);
});
