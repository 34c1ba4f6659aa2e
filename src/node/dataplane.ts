/**
 * @module The data plane as the control plane sees it: what a node asks of the native library and
 * what it hears back. src/native implements it over bun:ffi; simulators and tests script it.
 */

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
  /** Test only: name of a coherence guard to switch off, "" for none. */
  readonly guardOff: string;
};

/** How the boot processor starts; long mode with the page tables at cr3, or real mode. */
export type BootState = {
  readonly mode: "long" | "real";
  readonly ripU64: bigint;
  readonly rsiU64: bigint;
  readonly rspU64: bigint;
  readonly cr3U64: bigint;
  readonly gdtU64: bigint;
};

export type DataEvent =
  | { readonly kind: "console"; readonly bytes: Uint8Array }
  | { readonly kind: "loaded"; readonly tag: number }
  | { readonly kind: "poweroff" }
  | { readonly kind: "reset" }
  | { readonly kind: "debug-exit"; readonly code: number }
  | { readonly kind: "crash"; readonly vcpu: number; readonly reason: string }
  | { readonly kind: "stopped" }
  | { readonly kind: "peer-refused"; readonly node: number }
  | { readonly kind: "peer-silent"; readonly node: number; readonly heard: boolean }
  | { readonly kind: "engine-error"; readonly reason: string }
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

export type Counters = Readonly<Record<string, bigint>>;

/** Every call returns at once; what takes time ends in an event. Errors throw NativeError. */
export interface DataPlane {
  /** UDP port of the engine's socket, bound to the address given at open. */
  readonly dataPort: number;
  facts(): HostFacts;
  /** Creates memory, engine, links and the virtual machine. Once. */
  configure(plan: NodePlan): void;
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
  /** Stops every local vCPU; resolves when each has left the guest. */
  stop(): Promise<void>;
  /** Returns how many bytes the serial port took; offer the rest again later. */
  consoleInput(bytes: Uint8Array): number;
  ioReply(id: number, data: Uint8Array): void;
  /** Presses the power button; only on the device node. */
  powerButton(): void;
  counters(): Counters;
  /** Human-readable registers of a local vCPU, or why it cannot answer. */
  registers(vcpu: number): string;
  onEvent(handler: (event: DataEvent) => void): void;
  close(): Promise<void>;
}
