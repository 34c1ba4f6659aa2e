/** @module The guest's lines are read exactly, whatever pieces they arrive in. */

import { expect, test } from "bun:test";
import { Lines, readLine } from "./checks.ts";
import { summarize, summaryText } from "./summary.ts";

test("a check line gives name, outcome, cost and text", () => {
  expect(readLine("check ping-pong ok 58.20 us per turn of one page")).toEqual({
    kind: "check",
    check: {
      name: "ping-pong",
      ok: true,
      cost: { value: 58.2, unit: "us" },
      text: "per turn of one page",
    },
  });
  const failed = readLine("check code fail 0.00 us per call - old instructions ran: expected 0x1");
  expect(failed).toMatchObject({ kind: "check", check: { ok: false, name: "code" } });
});

test("verdicts and other text are told apart", () => {
  expect(readLine("verdict pass")).toEqual({ kind: "verdict", pass: true });
  expect(readLine("verdict fail")).toEqual({ kind: "verdict", pass: false });
  expect(readLine("verdict perhaps")).toEqual({ kind: "text", text: "verdict perhaps" });
  expect(readLine("check x ok soon us")).toEqual({ kind: "text", text: "check x ok soon us" });
});

test("lines survive any cut of the stream", () => {
  const bytes = new TextEncoder().encode("one\r\nzwö\nverdict pass\nrest");
  for (let cut = 0; cut <= bytes.length; cut += 1) {
    const lines = new Lines();
    const found = [...lines.push(bytes.subarray(0, cut)), ...lines.push(bytes.subarray(cut))];
    expect([...found, ...lines.end()]).toEqual(["one", "zwö", "verdict pass", "rest"]);
  }
});

function counters(pages: number, faults: number) {
  return {
    pagesReceived: pages,
    faultRemoteCount: faults,
    faultRemoteNs: faults * 40_000,
    retransmissions: 1,
    ipisSent: 5,
  };
}

test("the summary adds up what the nodes counted", () => {
  const summary = summarize({
    nodes: 2,
    vcpus: 4,
    checks: [{ name: "ipi", ok: true, cost: { value: 70, unit: "us" }, text: "" }],
    reports: [
      { node: 0, exit: 0, counters: counters(10, 4) },
      { node: 1, exit: 0, counters: counters(20, 0) },
    ],
    seconds: 1.234_567,
    reason: null,
  });
  expect(summary).toMatchObject({
    verdict: "pass",
    pages_moved: 30,
    fault_us: 40,
    ipi_us: 70,
    retransmissions: 2,
    seconds: 1.23,
  });
  expect(summaryText(summary)).toContain("verdict: pass");
  expect(summaryText(summarize({ ...summary, reports: [], reason: "node 1 died" }))).toContain(
    "FAIL - node 1 died",
  );
});
