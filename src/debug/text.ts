/** @module What giantvm debug and giantvm hot print: lines for people. Pure. */

import type { EventView, HotView, PageView, VcpuView, WaiterView } from "../control/views.ts";
import type { Frame } from "./stack.ts";
import type { Symbols } from "./symbols.ts";

export function hex16(value: bigint): string {
  return value.toString(16).padStart(16, "0");
}

function wide(text: string | undefined): string {
  return hex16(BigInt(text ?? "0x0"));
}

/** A time as people read it: 1.2 ms, 3.4 s. */
export function duration(ms: number): string {
  if (ms < 1) return `${(ms * 1000).toFixed(0)} us`;
  return ms < 1000 ? `${ms.toFixed(1)} ms` : `${(ms / 1000).toFixed(1)} s`;
}

export function named(address: bigint, symbols: Symbols | undefined): string {
  const place = symbols?.at(address);
  return place === undefined ? hex16(address) : `${place.name}+0x${place.offset.toString(16)}`;
}

/** What a vCPU does now. */
export function activity(view: VcpuView): string {
  if (view.waits !== null) {
    return `waits for page ${view.waits.gpa} since ${duration(view.waits.ms)}`;
  }
  return view.held ? `${view.activity}, held` : view.activity;
}

function vectors(list: readonly number[]): string {
  return list.length === 0 ? "-" : list.map((vector) => vector.toString(16)).join(" ");
}

function apicLine({ apic }: VcpuView): string {
  const enabled = (apic.svr & 0x100) === 0 ? "disabled" : "enabled";
  const mode = (BigInt(apic.base) & 0x400n) === 0n ? "xAPIC" : "x2APIC";
  const masked = (apic.lvtTimer & 0x1_0000) === 0 ? "" : " (masked)";
  const fires =
    apic.timerInMs === null
      ? "off"
      : apic.timerInMs < 0
        ? `due since ${duration(-apic.timerInMs)}`
        : `fires in ${duration(apic.timerInMs)}`;
  return (
    `  APIC id ${apic.id} ${mode} ${enabled}, TPR ${apic.tpr.toString(16)}, ` +
    `IRR ${vectors(apic.irr)}, ISR ${vectors(apic.isr)}, ` +
    `timer vector ${(apic.lvtTimer & 0xff).toString(16)}${masked} ${fires}`
  );
}

function ageText({ exitAgoMs }: VcpuView): string {
  return exitAgoMs === null ? "has not run yet" : `registers of ${duration(exitAgoMs)} ago`;
}

export function registerLines(view: VcpuView, symbols: Symbols | undefined): readonly string[] {
  const g = (name: string) => wide(view.general[name]);
  const s = (name: string) => view.system[name] ?? "0x0";
  const selector = (name: string) =>
    (view.segments[name]?.selector ?? 0).toString(16).padStart(4, "0");
  const rip = BigInt(view.general["rip"] ?? "0x0");
  const at = symbols === undefined ? "" : ` ${named(rip, symbols)}`;
  return [
    `vCPU ${view.vcpu}: ${activity(view)}; ${ageText(view)}`,
    `  rip=${g("rip")} rsp=${g("rsp")} rflags=${view.general["rflags"] ?? "0x0"}${at}`,
    `  rax=${g("rax")} rbx=${g("rbx")} rcx=${g("rcx")} rdx=${g("rdx")}`,
    `  rsi=${g("rsi")} rdi=${g("rdi")} rbp=${g("rbp")} r8 =${g("r8")}`,
    `  r9 =${g("r9")} r10=${g("r10")} r11=${g("r11")} r12=${g("r12")}`,
    `  r13=${g("r13")} r14=${g("r14")} r15=${g("r15")}`,
    `  cs=${selector("cs")} ss=${selector("ss")} ds=${selector("ds")} es=${selector("es")} ` +
      `fs=${view.segments["fs"]?.base ?? "0x0"} gs=${view.segments["gs"]?.base ?? "0x0"}`,
    `  cr0=${s("cr0")} cr2=${s("cr2")} cr3=${s("cr3")} cr4=${s("cr4")} efer=${s("efer")}`,
    apicLine(view),
  ];
}

/** As the kernel's oops prints them: a question mark before what is a guess. */
export function frameLines(frames: readonly Frame[], symbols: Symbols): readonly string[] {
  return frames.map(({ address, guess }) => `  ${guess ? "? " : "  "}${named(address, symbols)}`);
}

function nodes(list: readonly number[]): string {
  return list.length === 0 ? "none" : list.join(", ");
}

function waiter({ node, write, tx }: WaiterView): string {
  return `node ${node} to ${write ? "write" : "read"} (${tx})`;
}

function directoryLines(view: PageView): readonly string[] {
  const { directory } = view;
  if (directory === null) return [];
  const { owner, sharers, version, busy } = directory;
  const lines = [
    `  directory: owner ${owner ?? "none"}, sharers ${nodes(sharers)}, version ${version}`,
  ];
  if (busy === null) return [...lines, "  no transaction"];
  const waits = [
    busy.waitsForDone ? "its Done" : "",
    busy.waitsForWriteBack ? "the owner's WriteBack" : "",
  ].filter((what) => what !== "");
  return [
    ...lines,
    `  busy for ${waiter(busy.current)}, waits for ${waits.join(" and ")}; ` +
      `asked nodes ${nodes(busy.holders)}`,
    ...busy.queue.map((each) => `  behind it: ${waiter(each)}`),
  ];
}

function eventLine({ agoMs, what, kind, peer, tx, version }: EventView): string {
  const ago = `${duration(agoMs)} ago`.padStart(14);
  if (what === "sent") return `  ${ago}  ${kind} to node ${peer}, ${tx}, version ${version}`;
  if (what === "received") return `  ${ago}  ${kind} from node ${peer}, ${tx}, version ${version}`;
  return what.endsWith("fault") ? `  ${ago}  ${what} of thread ${peer}` : `  ${ago}  ${what}`;
}

/** One node's view of a page. */
export function pageLines(view: PageView): readonly string[] {
  const lines = [`  state ${view.state}, version ${view.version}`];
  if (view.parked) lines.push("  a fault waits to become a request");
  if (view.evicting) lines.push("  on its way home");
  const { pending, deferred } = view;
  if (pending !== null) {
    const missing = [
      pending.haveData ? "" : "the data",
      pending.acksMissing.length > 0 ? `InvAck of nodes ${nodes(pending.acksMissing)}` : "",
    ].filter((what) => what !== "");
    lines.push(
      `  asked for to ${pending.write ? "write" : "read"} since ${duration(pending.ms)} ` +
        `(${pending.tx}) by threads ${nodes(pending.threads)}; missing: ${missing.join(", ")}`,
    );
  }
  if (deferred !== null) {
    lines.push(
      `  kept from node ${deferred.requester} since ${duration(deferred.ms)} ` +
        `for thread ${deferred.thread}`,
    );
  }
  return [...lines, ...directoryLines(view), ...view.events.map(eventLine)];
}

/** Rows of 16 bytes with their text. */
export function dumpLines(start: bigint, bytes: Uint8Array): readonly string[] {
  return Array.from({ length: Math.ceil(bytes.length / 16) }, (_, row) => {
    const part = [...bytes.subarray(16 * row, 16 * row + 16)];
    const digits = part.map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
    const shown = part.map((byte) =>
      byte >= 0x20 && byte < 0x7f ? String.fromCodePoint(byte) : ".",
    );
    return `${hex16(start + BigInt(16 * row))}  ${digits.padEnd(47)}  ${shown.join("")}`;
  });
}

export type HotPage = {
  readonly gpa: bigint;
  readonly transfers: number;
  readonly writes: number;
  /** Which nodes it came to, and how often. */
  readonly byNode: ReadonlyMap<number, number>;
};

export type Hot = {
  readonly transfers: number;
  readonly writes: number;
  readonly pages: readonly HotPage[];
};

/** The nodes' lists as one, hottest first. */
export function mergeHot(
  answers: readonly { readonly node: number; readonly hot: HotView }[],
): Hot {
  const pages = new Map<
    string,
    { transfers: number; writes: number; byNode: Map<number, number> }
  >();
  for (const { node, hot } of answers) {
    for (const { gpa, transfers, writes } of hot.pages) {
      const page = pages.get(gpa) ?? { transfers: 0, writes: 0, byNode: new Map() };
      page.transfers += transfers;
      page.writes += writes;
      page.byNode.set(node, transfers);
      pages.set(gpa, page);
    }
  }
  const total = (of: (hot: HotView) => number) =>
    answers.reduce((all, { hot }) => all + of(hot), 0);
  return {
    transfers: total((hot) => hot.transfers),
    writes: total((hot) => hot.writes),
    pages: [...pages]
      .map(([gpa, { transfers, writes, byNode }]) => ({
        gpa: BigInt(gpa),
        transfers,
        writes,
        byNode,
      }))
      .toSorted((a, b) => b.transfers - a.transfers),
  };
}

function percent(part: number, whole: number): string {
  return whole === 0 ? "0 %" : `${((100 * part) / whole).toFixed(1)} %`;
}

function sum(of: (page: HotPage) => number, pages: readonly HotPage[]): number {
  return pages.reduce((all, page) => all + of(page), 0);
}

/** What each hot page is, and what share page tables have. */
export function hotLines(
  hot: Hot,
  tables: ReadonlyMap<bigint, number>,
  describe: (gpa: bigint) => string | undefined,
  top: number,
): readonly string[] {
  const rows = hot.pages.slice(0, top).map(({ gpa, transfers, writes, byNode }) => {
    const level = tables.get(gpa);
    const table = level === undefined ? "" : `page table, level ${level}`;
    const known = [table, describe(gpa) ?? ""].filter((text) => text !== "").join("; ");
    const where = [...byNode].map(([node, count]) => `${node}:${count}`).join(" ");
    const what = known === "" ? "physical" : known;
    return (
      `${String(transfers).padStart(9)} ${String(writes).padStart(9)}  ` +
      `${`0x${gpa.toString(16)}`.padEnd(12)} ${where.padEnd(20)} ${what}`
    );
  });
  const ofTables = hot.pages.filter(({ gpa }) => tables.has(gpa));
  const listed = sum((page) => page.transfers, hot.pages);
  return [
    "transfers    writes  page         to node:times        what",
    ...rows,
    `${hot.transfers} transfers of pages between nodes, ${hot.writes} of them to write ` +
      `(${percent(hot.writes, hot.transfers)}); the pages looked at have ` +
      percent(listed, hot.transfers),
    `tables of the address spaces in use now: ${ofTables.length} of these pages, ` +
      `${percent(
        sum((page) => page.transfers, ofTables),
        hot.transfers,
      )} of all transfers, ` +
      `${percent(
        sum((page) => page.writes, ofTables),
        hot.writes,
      )} of those to write ` +
      "(nested paging walks them; on AMD each walk counts as a write)",
  ];
}
