/**
 * @module What a node answers, made from what its data plane says: names instead of numbers, times
 * as distances, since the clocks of two nodes differ. What these types hold crosses as JSON.
 */

import type { HotPages, PageState, VcpuState } from "../node/dataplane.ts";
import { hex } from "./question.ts";

const activities = ["waits for SIPI", "running", "halted"] as const;
export const generalNames = [
  "rax",
  "rbx",
  "rcx",
  "rdx",
  "rsi",
  "rdi",
  "rsp",
  "rbp",
  "r8",
  "r9",
  "r10",
  "r11",
  "r12",
  "r13",
  "r14",
  "r15",
  "rip",
  "rflags",
] as const;
const segmentNames = ["cs", "ds", "es", "fs", "gs", "ss", "tr", "ldt"] as const;
const systemNames = ["cr0", "cr2", "cr3", "cr4", "cr8", "efer", "apicBase", "gdt", "idt"] as const;

export type SegmentView = {
  readonly selector: number;
  readonly base: string;
  readonly limit: number;
  readonly access: number;
};

export type VcpuView = {
  readonly vcpu: number;
  readonly activity: (typeof activities)[number];
  readonly held: boolean;
  readonly inside: boolean;
  /** Since the exit that brought these registers; null before the first. */
  readonly exitAgoMs: number | null;
  readonly waits: { readonly gpa: string; readonly ms: number } | null;
  readonly general: Readonly<Record<string, string>>;
  readonly segments: Readonly<Record<string, SegmentView>>;
  readonly system: Readonly<Record<string, string>>;
  readonly apic: {
    readonly id: number;
    readonly base: string;
    readonly tpr: number;
    readonly svr: number;
    readonly lvtTimer: number;
    readonly timerInMs: number | null;
    readonly irr: readonly number[];
    readonly isr: readonly number[];
  };
};

/** A vCPU that stopped for a debugger. */
export type StopView = {
  readonly vcpu: number;
  readonly rip: string;
  /** 0x0 at an int3 of the debugger's. */
  readonly dr6: string;
};

function msBetween(earlierNsU64: bigint, laterNsU64: bigint): number {
  return Number(laterNsU64 - earlierNsU64) / 1e6;
}

function named<T, U>(
  names: readonly string[],
  values: readonly T[],
  use: (value: T) => U,
): Readonly<Record<string, U>> {
  return Object.fromEntries(values.map((value, index) => [names[index] ?? "?", use(value)]));
}

export function vcpuView(state: VcpuState): VcpuView {
  const { nowNsU64, exitNsU64, waitNsU64, timerNsU64 } = state;
  return {
    vcpu: state.vcpu,
    activity: activities[state.activity] ?? "running",
    held: state.held,
    inside: state.inside,
    exitAgoMs: exitNsU64 === 0n ? null : msBetween(exitNsU64, nowNsU64),
    waits:
      waitNsU64 === 0n ? null : { gpa: hex(state.waitGpaU64), ms: msBetween(waitNsU64, nowNsU64) },
    general: named(generalNames, state.general, hex),
    segments: named(segmentNames, state.segments, (segment) => ({
      selector: segment.selector,
      base: hex(segment.baseU64),
      limit: segment.limit,
      access: segment.access,
    })),
    system: named(systemNames, state.system, hex),
    apic: {
      id: state.apicId,
      base: hex(state.apicBaseU64),
      tpr: state.tpr,
      svr: state.svr,
      lvtTimer: state.lvtTimer,
      timerInMs: timerNsU64 === 0n ? null : msBetween(nowNsU64, timerNsU64),
      irr: [...state.irr],
      isr: [...state.isr],
    },
  };
}

/** native/zig/engine/history.zig, What. */
const whats = [
  "nothing",
  "read fault",
  "write fault",
  "looked at",
  "mapped to read",
  "mapped to write",
  "protected",
  "dropped",
  "sent",
  "received",
  "to be stored to",
] as const;
/** native/zig/wire/message.zig, Kind. */
const messageKinds: Readonly<Record<number, string>> = {
  16: "Get",
  17: "Fwd",
  18: "Data",
  19: "WriteBack",
  20: "Inv",
  21: "InvAck",
  22: "Hurry",
  23: "Done",
  24: "Put",
  25: "PutAck",
};
const states = ["invalid", "shared", "modified"] as const;
const nobody = 255;

export type WaiterView = { readonly tx: string; readonly node: number; readonly write: boolean };

export type PageView = {
  readonly gpa: string;
  readonly page: number;
  readonly home: number;
  readonly state: (typeof states)[number];
  readonly version: string;
  readonly lost: boolean;
  /** A fault that may not become a request yet. */
  readonly parked: boolean;
  /** On its way home. */
  readonly evicting: boolean;
  /** This node's own request. */
  readonly pending: {
    readonly tx: string;
    readonly write: boolean;
    readonly ms: number;
    readonly haveData: boolean;
    readonly acksMissing: readonly number[];
    readonly threads: readonly number[];
  } | null;
  /** An order that waits here until this node's thread has used the page. */
  readonly deferred: {
    readonly thread: number;
    readonly requester: number;
    readonly ms: number;
  } | null;
  /** At the home alone. */
  readonly directory: {
    readonly owner: number | null;
    readonly sharers: readonly number[];
    readonly version: string;
    readonly busy: {
      readonly current: WaiterView;
      readonly holders: readonly number[];
      readonly waitsForDone: boolean;
      readonly waitsForWriteBack: boolean;
      readonly queue: readonly WaiterView[];
    } | null;
  } | null;
  /** Newest first. */
  readonly events: readonly EventView[];
};

export type EventView = {
  readonly agoMs: number;
  readonly what: string;
  readonly kind: string;
  /** The other node of a message; the thread of a fault. */
  readonly peer: number;
  readonly tx: string;
  readonly version: string;
};

function nodesOf(setU64: bigint): readonly number[] {
  return Array.from({ length: 64 }, (_, node) => node).filter(
    (node) => ((setU64 >> BigInt(node)) & 1n) === 1n,
  );
}

type Waiter = { readonly txU64: bigint; readonly requester: number; readonly write: boolean };

function waiterView({ txU64, requester, write }: Waiter): WaiterView {
  return { tx: hex(txU64), node: requester, write };
}

function directoryView(state: PageState): PageView["directory"] {
  const [entry] = state.entry;
  const [busy] = state.busy;
  if (entry === undefined) return null;
  return {
    owner: entry.owner === nobody ? null : entry.owner,
    sharers: nodesOf(entry.sharersU64),
    version: hex(entry.versionU64),
    busy:
      busy === undefined
        ? null
        : {
            current: waiterView(busy.current),
            holders: nodesOf(busy.holdersU64),
            waitsForDone: busy.waitDone,
            waitsForWriteBack: busy.waitWriteBack,
            queue: busy.queue.map(waiterView),
          },
  };
}

export function pageView(gpaU64: bigint, state: PageState): PageView {
  const [pending] = state.pending;
  const [deferred] = state.deferred;
  const agoMs = (nsU64: bigint) => msBetween(nsU64, state.nowNsU64);
  return {
    gpa: hex(gpaU64),
    page: state.page,
    home: state.home,
    state: states[state.state] ?? "invalid",
    version: hex(state.versionU64),
    lost: state.lost,
    parked: state.parked,
    evicting: state.evicting,
    pending:
      pending === undefined
        ? null
        : {
            tx: hex(pending.txU64),
            write: pending.write,
            ms: agoMs(pending.startNsU64),
            haveData: pending.haveData,
            acksMissing: nodesOf(pending.acksWantedU64 & ~pending.acksU64),
            threads: [...pending.threads],
          },
    deferred:
      deferred === undefined
        ? null
        : {
            thread: deferred.thread,
            requester: deferred.requester,
            ms: agoMs(deferred.sinceNsU64),
          },
    directory: directoryView(state),
    events: state.events.map((event) => ({
      agoMs: agoMs(event.atNsU64),
      what: whats[event.what] ?? "?",
      kind: messageKinds[event.kind] ?? "",
      peer: event.peer,
      tx: hex(event.txU64),
      version: hex(event.versionU64),
    })),
  };
}

export type HotView = {
  readonly transfers: number;
  readonly writes: number;
  readonly pages: readonly {
    readonly gpa: string;
    readonly transfers: number;
    readonly writes: number;
  }[];
};

export function hotView(hot: HotPages): HotView {
  return {
    transfers: Number(hot.transfersU64),
    writes: Number(hot.writesU64),
    pages: hot.pages.map(({ gpaU64, transfers, writes }) => ({
      gpa: hex(gpaU64),
      transfers,
      writes,
    })),
  };
}
