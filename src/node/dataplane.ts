/**
 * @module The data plane as the control plane sees it: what a node asks of the native library and
 * what it hears back. src/native implements it over bun:ffi; simulators and tests script it.
 */

import type { GuestDebug, HotPages, PageState, VcpuState } from "../native/abi.ts";

export type { GuestDebug, HotPages, PageState, VcpuState };

export type CpuidEntry = {
  readonly leaf: number;
  readonly index: number;
  readonly flags: number;
  readonly eax: number;
  readonly ebx: number;
  readonly ecx: number;
  readonly edx: number;
};

/** What this host's KVM offers; compared and intersected between nodes. */
export type HostFacts = {
  /** CPUID vendor string, e.g. "AuthenticAMD". */
  readonly vendor: string;
  readonly cpuid: readonly CpuidEntry[];
  readonly tscKhz: number;
  readonly physicalAddressBits: number;
  readonly xcr0U64: bigint;
};

export type PortRange = {
  readonly space: "port" | "mmio";
  readonly firstU64: bigint;
  readonly lastU64: bigint;
  /** Node that owns the device. */
  readonly node: number;
  /** fast: executed by the owner's native devices; slow: handed to TypeScript there. */
  readonly speed: "fast" | "slow";
  /** Writes need no answer. */
};

/** An open image as a disk of the guest. */
export type DiskPlan = {
  readonly image: number;
  readonly bytesU64: bigint;
  readonly readOnly: boolean;
};

/** Everything all nodes agreed on, plus which node this one is. */
export type NodePlan = {
  readonly node: number;
  readonly vmIdU64: bigint;
  readonly epoch: number;
  /** One entry per node, in node order. */
  readonly nodes: readonly {
    readonly address: string;
    readonly dataPort: number;
    readonly cpus: number;
    readonly ramPages: number;
  }[];
  readonly cpuid: readonly CpuidEntry[];
  readonly tscKhz: number;
  readonly deviceNode: number;
  /** Where accesses go, for the whole epoch. */
  readonly routes: readonly PortRange[];
  readonly silenceMs: number;
  readonly spinUs: number;
  /** Pages of this host's memory that the guest may take; 0 for no limit. */
  readonly takenMaxPages: number;
  /** Test only: name of a coherence guard to switch off, "" for none. */
  readonly guardOff: string;
  /** The VM's disks on the device node, none elsewhere. */
  readonly disks: readonly DiskPlan[];
};

/** How the boot processor starts: abi.zig's BootMode and Boot say what each mode takes. */
export type BootState = {
  readonly mode: "long" | "protected" | "real";
  readonly ripU64: bigint;
  readonly raxU64: bigint;
  readonly rbxU64: bigint;
  readonly rsiU64: bigint;
  readonly rspU64: bigint;
  readonly cr3U64: bigint;
  readonly gdtU64: bigint;
};

export type DataEvent =
  /** What the guest printed before any event that follows. */
  | { readonly kind: "console"; readonly bytes: Uint8Array }
  | { readonly kind: "loaded"; readonly tag: number }
  | { readonly kind: "poweroff" }
  | { readonly kind: "reset" }
  | { readonly kind: "debug-exit"; readonly code: number }
  | { readonly kind: "crash"; readonly vcpu: number; readonly reason: string }
  | { readonly kind: "stopped" }
  /** `answered`: before that. A port that never did may be a filter's that rejects. */
  | { readonly kind: "peer-refused"; readonly node: number; readonly answered: boolean }
  /** `silentMs`: the limit that has passed; 0 when it never was heard. */
  | { readonly kind: "peer-silent"; readonly node: number; readonly silentMs: number }
  | { readonly kind: "engine-error"; readonly reason: string }
  /** Datagrams with so many bytes of payload do not reach a node: smaller ones do, from now on. */
  | { readonly kind: "narrowed"; readonly node: number; readonly bytes: number }
  /** Something is wrong with a disk; the VM goes on. */
  | { readonly kind: "disk"; readonly disk: number; readonly reason: string }
  /** To a question for the engine; seen by src/native only. */
  | {
      readonly kind: "answer";
      readonly id: number;
      readonly status: number;
      readonly data: Uint8Array;
    }
  | {
      readonly kind: "debug-stop";
      readonly vcpu: number;
      readonly ripU64: bigint;
      readonly dr6U64: bigint;
    }
  | {
      readonly kind: "io";
      readonly id: number;
      readonly fromNode: number;
      readonly vcpu: number;
      readonly space: "port" | "mmio";
      readonly write: boolean;
      readonly addressU64: bigint;
      readonly size: number;
      readonly count: number;
      readonly data: Uint8Array;
    };

/** The guest's TSC at one moment: without the steps made since the start, and their ticks. */
export type TscReading = { readonly countU64: bigint; readonly advancedU64: bigint };

export type Counters = Readonly<Record<string, bigint>>;

/** Every call returns at once; what takes time ends in an event. Errors throw NativeError. */
export interface DataPlane {
  /** UDP port of the engine's socket, bound to the address given at open. */
  readonly dataPort: number;
  facts(): HostFacts;
  /**
   * Creates memory, engine, links and the virtual machine. Once.
   * @param cmos what cmos() gave before a restart of the guest; empty for a new clock chip
   */
  configure(plan: NodePlan, cmos: Uint8Array): void;
  /** Copies bytes into guest memory at gpa as a vCPU would; resolves when all are in. */
  load(gpaU64: bigint, bytes: Uint8Array): Promise<void>;
  /** Sets the start of the boot processor; only on the node that holds vCPU 0. */
  boot(state: BootState): void;
  /**
   * Starts every local vCPU; the others than the boot processor wait for SIPI.
   * @param tscZeroNsU64 this host's CLOCK_MONOTONIC at which the guest's TSC is 0; nodes agree on
   * it through their measured clock offsets, so that all TSCs are equal.
   */
  run(tscZeroNsU64: bigint): void;
  /** Once the vCPUs run. */
  tsc(): TscReading;
  /**
   * Lets the TSC of all local vCPUs step forward at one moment, from so many ticks of steps made:
   * `begun` and made within 10 ms, or not at all (`tsc` shows which); `busy`: another step is under
   * way or was made; `cannot`: KVM here does not change it.
   */
  advanceTsc(fromU64: bigint, ticksU64: bigint): "begun" | "busy" | "cannot";
  /** Stops every local vCPU; resolves when each has left the guest. */
  stop(): Promise<void>;
  /** Returns how many bytes the serial port took; offer the rest again later. */
  consoleInput(bytes: Uint8Array): number;
  /**
   * Console output comes no more, and slows the guest, until it may again; nothing is lost. What
   * the guest printed before an end of the VM comes before that end all the same.
   */
  holdConsole(hold: boolean): void;
  ioReply(id: number, data: Uint8Array): void;
  /** Presses the power button; only on the device node. */
  powerButton(): void;
  /**
   * What the battery of this node's clock chip keeps over a restart; empty before configure(). Only
   * the device node's chip is the guest's.
   */
  cmos(): Uint8Array;
  counters(): Counters;
  /** Human-readable registers of a local vCPU, or why it cannot answer. */
  registers(vcpu: number): string;
  /** A local vCPU as of its last exit; asks for a newer one, which a later call shows. */
  vcpu(vcpu: number): VcpuState;
  /** The pages that came to this node most often. */
  hot(): HotPages;
  /** What this node knows of a page of guest memory. Rejects when its engine hangs. */
  page(gpaU64: bigint): Promise<PageState>;
  /** Bytes within one page, as a vCPU would read them. Rejects when the page does not come. */
  memory(gpaU64: bigint, length: number): Promise<Uint8Array>;
  /** Stores bytes within one page, as a vCPU would. Rejects when the page does not come. */
  write(gpaU64: bigint, bytes: Uint8Array): Promise<void>;
  /** Holds the local vCPUs, or one, outside the guest or lets them go on; does not wait. */
  pause(hold: boolean, vcpu?: number): void;
  /** Breakpoints and single step of a vCPU from when it enters next; event `debug-stop`. */
  guestDebug(vcpu: number, wanted: GuestDebug): void;
  /** General registers of a vCPU that is held, in the order of VcpuState.general. */
  setRegisters(vcpu: number, valuesU64: readonly bigint[]): void;
  /** What the handler throws is an unhandled rejection; it hears of the events after it. */
  onEvent(handler: (event: DataEvent) => void): void;
  close(): Promise<void>;
}
