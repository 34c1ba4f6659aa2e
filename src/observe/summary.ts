/** @module The demo's result: what its nodes counted and its guest checked. */

import type { Check } from "./checks.ts";

/** What a node leaves behind at its end (`run --report FILE`). */
export type Report = {
  readonly node: number;
  readonly exit: number;
  readonly counters: Readonly<Record<string, number>>;
};

export type Summary = {
  readonly verdict: "pass" | "fail";
  readonly nodes: number;
  readonly vcpus: number;
  readonly checks: readonly Check[];
  /** 4 KiB pages that went from one node to another. */
  readonly pages_moved: number;
  /** Mean time of a page fault that another node answered, null when there was none. */
  readonly fault_us: number | null;
  readonly ipi_us: number | null;
  readonly ipis_between_nodes: number;
  readonly retransmissions: number;
  readonly seconds: number;
  readonly counters: readonly Report[];
  /** Why the verdict is no pass, in a sentence; null for a pass. */
  readonly reason: string | null;
};

export type SummaryInput = {
  readonly nodes: number;
  readonly vcpus: number;
  readonly checks: readonly Check[];
  readonly reports: readonly Report[];
  readonly seconds: number;
  readonly reason: string | null;
};

const factsKept = 100;

function sum(reports: readonly Report[], name: string): number {
  return reports.reduce((total, report) => total + (report.counters[name] ?? 0), 0);
}

function rounded(value: number): number {
  return Math.round(value * factsKept) / factsKept;
}

export function summarize(input: SummaryInput): Summary {
  const { reports, checks } = input;
  const faults = sum(reports, "faultRemoteCount");
  const ipi = checks.find((check) => check.name === "ipi" && check.ok);
  return {
    verdict: input.reason === null ? "pass" : "fail",
    nodes: input.nodes,
    vcpus: input.vcpus,
    checks,
    pages_moved: sum(reports, "pagesReceived"),
    fault_us: faults === 0 ? null : rounded(sum(reports, "faultRemoteNs") / faults / 1000),
    ipi_us: ipi?.cost.value ?? null,
    ipis_between_nodes: sum(reports, "ipisSent"),
    retransmissions: sum(reports, "retransmissions"),
    seconds: rounded(input.seconds),
    counters: reports,
    reason: input.reason,
  };
}

export function checkLine(check: Check): string {
  const cost = `${check.cost.value.toFixed(2)} ${check.cost.unit}`;
  const mark = check.ok ? "ok  " : "FAIL";
  return `  ${mark}  ${check.name.padEnd(14)} ${cost.padStart(12)} ${check.text}`;
}

function row(label: string, value: string): string {
  return `  ${label.padEnd(44)} ${value}`;
}

function us(value: number | null): string {
  return value === null ? "none" : `${value.toFixed(1)} us`;
}

/** What a newcomer reads at the end. */
export function summaryText(summary: Summary): string {
  const { nodes, vcpus, checks } = summary;
  const passed = checks.filter((check) => check.ok).length;
  const machine =
    nodes === 1 ? "1 node" : `${nodes} nodes (processes on this machine, joined by UDP)`;
  const end =
    summary.reason === null
      ? `verdict: pass - all ${passed} checks hold on one virtual machine of ${nodes} ` +
        `${nodes === 1 ? "node" : "nodes"}`
      : `verdict: FAIL - ${summary.reason}`;
  return [
    "",
    `One guest with ${vcpus} vCPUs over ${machine}:`,
    row("memory pages moved between nodes", summary.pages_moved.toLocaleString("en")),
    row("a page fault answered by another node", us(summary.fault_us)),
    row("an interrupt that wakes a halted vCPU", us(summary.ipi_us)),
    row("interrupts sent between nodes", summary.ipis_between_nodes.toLocaleString("en")),
    row("lost datagrams sent again", summary.retransmissions.toLocaleString("en")),
    row("whole run", `${summary.seconds.toFixed(1)} s`),
    "",
    end,
    "",
  ].join("\n");
}
