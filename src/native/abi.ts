/** @module Generated from native/zig/abi.zig by `npm run build`; do not edit. */

import { FFIType } from "bun:ffi";
import type { Wire } from "../protocol/cbor.ts";
import { Fields, u64Of } from "./fields.ts";

export const abiHashU64 = 0x26beb2bae4c8af0fn;

export const symbols = {
  /** Hash of this contract. Called first: an abort restores the terminal as it is now. */
  gvm_abi: { args: [], returns: FFIType.u64 },
  /** CLOCK_MONOTONIC in ns, the clock of all times in this contract. */
  gvm_monotonic_ns: { args: [], returns: FFIType.u64 },
  /** OpenOptions -> handle (u64 written to out). Opens /dev/kvm and the data socket. */
  gvm_open: { args: [FFIType.ptr, FFIType.u64, FFIType.ptr], returns: FFIType.i32 },
  /** UDP port of the data socket. */
  gvm_data_port: { args: [FFIType.u64], returns: FFIType.i32 },
  /** Read end of the doorbell pipe: one byte arrives when events wait. */
  gvm_event_fd: { args: [FFIType.u64], returns: FFIType.i32 },
  /** Copies up to n events out; returns how many. */
  gvm_events: { args: [FFIType.u64, FFIType.ptr, FFIType.u32], returns: FFIType.i32 },
  /** Takes what the guest printed; returns bytes. The event pipe tells of the first. */
  gvm_console: { args: [FFIType.u64, FFIType.ptr, FFIType.u64], returns: FFIType.i32 },
  /** Facts of this host into out; returns bytes, -ENOBUFS when out is too small. */
  gvm_facts: { args: [FFIType.u64, FFIType.ptr, FFIType.u64], returns: FFIType.i32 },
  /** Probe of this host into out, without a handle; returns bytes. */
  gvm_probe: { args: [FFIType.ptr, FFIType.u64], returns: FFIType.i32 },
  /** Plan -> memory, engine, links, machine. Once per handle. */
  gvm_configure: { args: [FFIType.u64, FFIType.ptr, FFIType.u64], returns: FFIType.i32 },
  /** Copies bytes to guest memory at gpa in the background; event `loaded` with tag. */
  gvm_load: {
    args: [FFIType.u64, FFIType.u64, FFIType.ptr, FFIType.u64, FFIType.u64],
    returns: FFIType.i32,
  },
  /** Boot: start state of vCPU 0. */
  gvm_boot: { args: [FFIType.u64, FFIType.ptr, FFIType.u64], returns: FFIType.i32 },
  /** Starts the local vCPUs; guest TSC is 0 at this CLOCK_MONOTONIC time, in ns. */
  gvm_run: { args: [FFIType.u64, FFIType.u64], returns: FFIType.i32 },
  /** The guest's TSC, in two u64: without the steps made, and the ticks of those. */
  gvm_tsc: { args: [FFIType.u64, FFIType.ptr], returns: FFIType.i32 },
  /** From so many ticks of steps, makes one more of so many; within 10 ms, or never. */
  gvm_tsc_advance: { args: [FFIType.u64, FFIType.u64, FFIType.u64], returns: FFIType.i32 },
  /** Asks the local vCPUs to leave the guest; event `stopped` when all have. */
  gvm_stop: { args: [FFIType.u64], returns: FFIType.i32 },
  /** Bytes for the guest's serial port; returns how many were taken. */
  gvm_console_input: { args: [FFIType.u64, FFIType.ptr, FFIType.u64], returns: FFIType.i32 },
  /** Answers the slow access with this id. */
  gvm_io_reply: {
    args: [FFIType.u64, FFIType.u64, FFIType.ptr, FFIType.u64],
    returns: FFIType.i32,
  },
  /** Presses the power button of the board; the guest may shut down. */
  gvm_power_button: { args: [FFIType.u64], returns: FFIType.i32 },
  /** What the clock chip keeps over a restart; returns bytes, none before a plan. */
  gvm_cmos: { args: [FFIType.u64, FFIType.ptr, FFIType.u64], returns: FFIType.i32 },
  /** Copies up to n u64 counters out; returns how many exist. */
  gvm_counters: { args: [FFIType.u64, FFIType.ptr, FFIType.u32], returns: FFIType.i32 },
  /** Text of a local vCPU's registers, or why it cannot answer; returns bytes. */
  gvm_registers: {
    args: [FFIType.u64, FFIType.u32, FFIType.ptr, FFIType.u64],
    returns: FFIType.i32,
  },
  /** VcpuState of a local vCPU; asks for a newer exit, which a later call shows. */
  gvm_vcpu: { args: [FFIType.u64, FFIType.u32, FFIType.ptr, FFIType.u64], returns: FFIType.i32 },
  /** Id, what (0 PageState, 1 bytes), gpa, bytes within its page -> event `answer`. */
  gvm_ask: {
    args: [FFIType.u64, FFIType.u64, FFIType.u32, FFIType.u64, FFIType.u32],
    returns: FFIType.i32,
  },
  /** Id, gpa, at most 256 bytes within its page -> event `answer` when they are stored. */
  gvm_write: {
    args: [FFIType.u64, FFIType.u64, FFIType.u64, FFIType.ptr, FFIType.u32],
    returns: FFIType.i32,
  },
  /** HotPages of this node; returns bytes. Reads a table of all pages. */
  gvm_hot: { args: [FFIType.u64, FFIType.ptr, FFIType.u64], returns: FFIType.i32 },
  /** Holds the local vCPUs outside the guest (1), or lets them go on (0); all, or one. */
  gvm_pause: { args: [FFIType.u64, FFIType.u32, FFIType.u32], returns: FFIType.i32 },
  /** GuestDebug of a local vCPU from its next entry. -EOPNOTSUPP: KVM tells of no int3. */
  gvm_guest_debug: {
    args: [FFIType.u64, FFIType.u32, FFIType.ptr, FFIType.u64],
    returns: FFIType.i32,
  },
  /** GeneralRegisters of a local vCPU that is held; -EBUSY for another. */
  gvm_set_registers: {
    args: [FFIType.u64, FFIType.u32, FFIType.ptr, FFIType.u64],
    returns: FFIType.i32,
  },
  /** Frees everything; the vCPUs must have stopped (else -EBUSY). */
  gvm_close: { args: [FFIType.u64], returns: FFIType.i32 },
  /** ImageOptions -> descriptor and bytes (two u64 in out). -EAGAIN: locked. */
  gvm_image_open: { args: [FFIType.ptr, FFIType.u64, FFIType.ptr], returns: FFIType.i32 },
  /** Flushes and closes an image that no node uses any more. */
  gvm_image_close: { args: [FFIType.i32], returns: FFIType.i32 },
  /** Node 0 or 1 of `bench dsm` -> handle, data port, command port (three u64 in out). */
  gvm_bench_open: { args: [FFIType.u32, FFIType.ptr], returns: FFIType.i32 },
  /** The peer's data and command port, and rounds of each kind. Runs on its own thread. */
  gvm_bench_start: {
    args: [FFIType.u64, FFIType.u32, FFIType.u32, FFIType.u32],
    returns: FFIType.i32,
  },
  /** Result as JSON; -EAGAIN until it is there; returns bytes. */
  gvm_bench_result: { args: [FFIType.u64, FFIType.ptr, FFIType.u64], returns: FFIType.i32 },
  /** Sets a socket's receive buffer to bytes; returns what the kernel granted. */
  gvm_socket_buffer: { args: [FFIType.i32, FFIType.u32], returns: FFIType.i32 },
} as const;

export const eventKind = {
  loaded: 2,
  poweroff: 3,
  reset: 4,
  debugExit: 5,
  crash: 6,
  stopped: 7,
  peerRefused: 8,
  peerSilent: 9,
  engineError: 10,
  io: 11,
  text: 12,
  disk: 13,
  answer: 14,
  debugStop: 15,
  narrowed: 16,
} as const;

export const counter = {
  faultsRead: 0,
  faultsWrite: 1,
  faultsLocal: 2,
  pagesReceived: 3,
  pagesSent: 4,
  invalidations: 5,
  upgrades: 6,
  messagesSent: 7,
  messagesReceived: 8,
  datagramsSent: 9,
  datagramsReceived: 10,
  bytesSent: 11,
  bytesReceived: 12,
  retransmissions: 13,
  duplicates: 14,
  dropped: 15,
  faultRemoteCount: 16,
  faultRemoteNs: 17,
  ipisSent: 18,
  ipisReceived: 19,
  ioLocal: 20,
  ioForwarded: 21,
  ioServed: 22,
  exits: 23,
  interruptsInjected: 24,
  requestsGanged: 25,
  deferredCount: 26,
  deferredNs: 27,
  droppedMalformed: 28,
  droppedForeign: 29,
  droppedEpoch: 30,
  droppedRefused: 31,
  tscSteps: 32,
  tscStepsGivenUp: 33,
  tscTicksAdvanced: 34,
  diskReads: 35,
  diskWrites: 36,
  diskFlushes: 37,
  diskBytesRead: 38,
  diskBytesWritten: 39,
  diskErrors: 40,
  consoleLost: 41,
  stallsFresh: 42,
  stallsFreshNs: 43,
  stallsAgain: 44,
  stallsAgainNs: 45,
  stallsGanged: 46,
  stallsGangedNs: 47,
  requestsAhead: 48,
  pagesTaken: 49,
  pagesEvicted: 50,
  pagesForgotten: 51,
  touchedAhead: 52,
} as const;

export const bootMode = {
  real: 0,
  protected: 1,
  long: 2,
} as const;

export type OpenOptions = {
  readonly address: Uint8Array;
};

export function wireOpenOptions(value: OpenOptions): Wire {
  return [value.address];
}

export type PlanNode = {
  readonly address: Uint8Array;
  readonly dataPort: number;
  readonly cpus: number;
  readonly ramPages: number;
};

export function wirePlanNode(value: PlanNode): Wire {
  return [value.address, value.dataPort, value.cpus, value.ramPages];
}

export type CpuidEntry = {
  readonly leaf: number;
  readonly index: number;
  readonly flags: number;
  readonly eax: number;
  readonly ebx: number;
  readonly ecx: number;
  readonly edx: number;
};

export function wireCpuidEntry(value: CpuidEntry): Wire {
  return [value.leaf, value.index, value.flags, value.eax, value.ebx, value.ecx, value.edx];
}

export type Route = {
  readonly space: number;
  readonly firstU64: bigint;
  readonly lastU64: bigint;
  readonly node: number;
  readonly slow: boolean;
};

export function wireRoute(value: Route): Wire {
  return [value.space, value.firstU64, value.lastU64, value.node, value.slow];
}

export type PlanDisk = {
  readonly image: number;
  readonly bytesU64: bigint;
  readonly readOnly: boolean;
};

export function wirePlanDisk(value: PlanDisk): Wire {
  return [value.image, value.bytesU64, value.readOnly];
}

export type Plan = {
  readonly node: number;
  readonly vmIdU64: bigint;
  readonly epoch: number;
  readonly nodes: readonly PlanNode[];
  readonly cpuid: readonly CpuidEntry[];
  readonly tscKhz: number;
  readonly deviceNode: number;
  readonly routes: readonly Route[];
  readonly silenceMs: number;
  readonly spinUs: number;
  readonly takenMaxPages: number;
  readonly unixSecondsU64: bigint;
  readonly cmos: Uint8Array;
  readonly guardOff: Uint8Array;
  readonly disks: readonly PlanDisk[];
};

export function wirePlan(value: Plan): Wire {
  return [
    value.node,
    value.vmIdU64,
    value.epoch,
    value.nodes.map(wirePlanNode),
    value.cpuid.map(wireCpuidEntry),
    value.tscKhz,
    value.deviceNode,
    value.routes.map(wireRoute),
    value.silenceMs,
    value.spinUs,
    value.takenMaxPages,
    value.unixSecondsU64,
    value.cmos,
    value.guardOff,
    value.disks.map(wirePlanDisk),
  ];
}

export type ImageOptions = {
  readonly path: Uint8Array;
  readonly readOnly: boolean;
};

export function wireImageOptions(value: ImageOptions): Wire {
  return [value.path, value.readOnly];
}

export type Boot = {
  readonly mode: number;
  readonly ripU64: bigint;
  readonly raxU64: bigint;
  readonly rbxU64: bigint;
  readonly rsiU64: bigint;
  readonly rspU64: bigint;
  readonly cr3U64: bigint;
  readonly gdtU64: bigint;
};

export function wireBoot(value: Boot): Wire {
  return [
    value.mode,
    value.ripU64,
    value.raxU64,
    value.rbxU64,
    value.rsiU64,
    value.rspU64,
    value.cr3U64,
    value.gdtU64,
  ];
}

export type Breakpoint = {
  readonly addressU64: bigint;
  readonly kind: number;
  readonly size: number;
};

export function wireBreakpoint(value: Breakpoint): Wire {
  return [value.addressU64, value.kind, value.size];
}

export type GuestDebug = {
  readonly singleStep: boolean;
  readonly breakpoints: readonly Breakpoint[];
  readonly int3s: readonly bigint[];
};

export function wireGuestDebug(value: GuestDebug): Wire {
  return [value.singleStep, value.breakpoints.map(wireBreakpoint), value.int3s];
}

export type GeneralRegisters = {
  readonly values: readonly bigint[];
};

export function wireGeneralRegisters(value: GeneralRegisters): Wire {
  return [value.values];
}

export type SegmentState = {
  readonly selector: number;
  readonly baseU64: bigint;
  readonly limit: number;
  readonly access: number;
};

export function readSegmentState(value: Wire): SegmentState {
  const fields = new Fields(value, 4, "SegmentState");
  return {
    selector: fields.number(),
    baseU64: fields.u64(),
    limit: fields.number(),
    access: fields.number(),
  };
}

export type VcpuState = {
  readonly vcpu: number;
  readonly activity: number;
  readonly held: boolean;
  readonly inside: boolean;
  readonly nowNsU64: bigint;
  readonly exitNsU64: bigint;
  readonly waitNsU64: bigint;
  readonly waitGpaU64: bigint;
  readonly general: readonly bigint[];
  readonly segments: readonly SegmentState[];
  readonly system: readonly bigint[];
  readonly apicId: number;
  readonly apicBaseU64: bigint;
  readonly tpr: number;
  readonly svr: number;
  readonly lvtTimer: number;
  readonly timerNsU64: bigint;
  readonly irr: Uint8Array;
  readonly isr: Uint8Array;
};

export function readVcpuState(value: Wire): VcpuState {
  const fields = new Fields(value, 19, "VcpuState");
  return {
    vcpu: fields.number(),
    activity: fields.number(),
    held: fields.boolean(),
    inside: fields.boolean(),
    nowNsU64: fields.u64(),
    exitNsU64: fields.u64(),
    waitNsU64: fields.u64(),
    waitGpaU64: fields.u64(),
    general: fields.list(u64Of),
    segments: fields.list(readSegmentState),
    system: fields.list(u64Of),
    apicId: fields.number(),
    apicBaseU64: fields.u64(),
    tpr: fields.number(),
    svr: fields.number(),
    lvtTimer: fields.number(),
    timerNsU64: fields.u64(),
    irr: fields.bytes(),
    isr: fields.bytes(),
  };
}

export type PageEvent = {
  readonly atNsU64: bigint;
  readonly what: number;
  readonly kind: number;
  readonly peer: number;
  readonly txU64: bigint;
  readonly versionU64: bigint;
};

export function readPageEvent(value: Wire): PageEvent {
  const fields = new Fields(value, 6, "PageEvent");
  return {
    atNsU64: fields.u64(),
    what: fields.number(),
    kind: fields.number(),
    peer: fields.number(),
    txU64: fields.u64(),
    versionU64: fields.u64(),
  };
}

export type PagePending = {
  readonly txU64: bigint;
  readonly write: boolean;
  readonly startNsU64: bigint;
  readonly haveData: boolean;
  readonly acksWantedU64: bigint;
  readonly acksU64: bigint;
  readonly threads: Uint8Array;
};

export function readPagePending(value: Wire): PagePending {
  const fields = new Fields(value, 7, "PagePending");
  return {
    txU64: fields.u64(),
    write: fields.boolean(),
    startNsU64: fields.u64(),
    haveData: fields.boolean(),
    acksWantedU64: fields.u64(),
    acksU64: fields.u64(),
    threads: fields.bytes(),
  };
}

export type PageDeferred = {
  readonly thread: number;
  readonly requester: number;
  readonly sinceNsU64: bigint;
};

export function readPageDeferred(value: Wire): PageDeferred {
  const fields = new Fields(value, 3, "PageDeferred");
  return {
    thread: fields.number(),
    requester: fields.number(),
    sinceNsU64: fields.u64(),
  };
}

export type PageEntry = {
  readonly owner: number;
  readonly sharersU64: bigint;
  readonly versionU64: bigint;
};

export function readPageEntry(value: Wire): PageEntry {
  const fields = new Fields(value, 3, "PageEntry");
  return {
    owner: fields.number(),
    sharersU64: fields.u64(),
    versionU64: fields.u64(),
  };
}

export type PageWaiter = {
  readonly txU64: bigint;
  readonly requester: number;
  readonly write: boolean;
};

export function readPageWaiter(value: Wire): PageWaiter {
  const fields = new Fields(value, 3, "PageWaiter");
  return {
    txU64: fields.u64(),
    requester: fields.number(),
    write: fields.boolean(),
  };
}

export type PageBusy = {
  readonly current: PageWaiter;
  readonly holdersU64: bigint;
  readonly waitDone: boolean;
  readonly waitWriteBack: boolean;
  readonly queue: readonly PageWaiter[];
};

export function readPageBusy(value: Wire): PageBusy {
  const fields = new Fields(value, 5, "PageBusy");
  return {
    current: readPageWaiter(fields.next()),
    holdersU64: fields.u64(),
    waitDone: fields.boolean(),
    waitWriteBack: fields.boolean(),
    queue: fields.list(readPageWaiter),
  };
}

export type PageState = {
  readonly nowNsU64: bigint;
  readonly page: number;
  readonly home: number;
  readonly state: number;
  readonly versionU64: bigint;
  readonly lost: boolean;
  readonly parked: boolean;
  readonly evicting: boolean;
  readonly pending: readonly PagePending[];
  readonly deferred: readonly PageDeferred[];
  readonly entry: readonly PageEntry[];
  readonly busy: readonly PageBusy[];
  readonly events: readonly PageEvent[];
};

export function readPageState(value: Wire): PageState {
  const fields = new Fields(value, 13, "PageState");
  return {
    nowNsU64: fields.u64(),
    page: fields.number(),
    home: fields.number(),
    state: fields.number(),
    versionU64: fields.u64(),
    lost: fields.boolean(),
    parked: fields.boolean(),
    evicting: fields.boolean(),
    pending: fields.list(readPagePending),
    deferred: fields.list(readPageDeferred),
    entry: fields.list(readPageEntry),
    busy: fields.list(readPageBusy),
    events: fields.list(readPageEvent),
  };
}

export type HotPage = {
  readonly gpaU64: bigint;
  readonly transfers: number;
  readonly writes: number;
};

export function readHotPage(value: Wire): HotPage {
  const fields = new Fields(value, 3, "HotPage");
  return {
    gpaU64: fields.u64(),
    transfers: fields.number(),
    writes: fields.number(),
  };
}

export type HotPages = {
  readonly transfersU64: bigint;
  readonly writesU64: bigint;
  readonly pages: readonly HotPage[];
};

export function readHotPages(value: Wire): HotPages {
  const fields = new Fields(value, 3, "HotPages");
  return {
    transfersU64: fields.u64(),
    writesU64: fields.u64(),
    pages: fields.list(readHotPage),
  };
}
