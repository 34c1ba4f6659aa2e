/**
 * @module The data plane over bun:ffi. This room alone imports it.
 *
 * Long because every call of the contract has its wrapper here.
 */

import { ptr } from "bun:ffi";
import type {
  BootState,
  Counters,
  DataEvent,
  DataPlane,
  HostFacts,
  GuestDebug,
  HotPages,
  NodePlan,
  PageState,
  PortRange,
  TscReading,
  VcpuState,
} from "../node/dataplane.ts";
import { decode, encode, type Wire } from "../protocol/cbor.ts";
import * as abi from "./abi.ts";
import { EngineAnswers } from "./answers.ts";
import { check, NativeError } from "./errors.ts";
import { EventDecoder, eventBytes } from "./events.ts";
import { readFacts } from "./facts.ts";
import { type Library, library } from "./library.ts";

const eventsPerRead = 256;
const consoleBytesPerRead = 64 * 1024;
const factsBytesMax = 64 * 1024;
const registersBytesMax = 4096;
const vcpuBytesMax = 4096;
const cmosBytesMax = 256;
const hotBytesMax = 64 * 1024;
/** After these the guest's last words are wanted, however slow the console is. */
const ends: ReadonlySet<DataEvent["kind"]> = new Set([
  "poweroff",
  "reset",
  "debug-exit",
  "crash",
  "engine-error",
  "stopped",
]);
const question = { page: 0, memory: 1 } as const;

/** native/zig/abi.zig, all_vcpus. */
const allVcpus = 0xffff_ffff;

function bytesOf(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

function wireRoute(range: PortRange): abi.Route {
  return {
    space: range.space === "port" ? 0 : 1,
    firstU64: range.firstU64,
    lastU64: range.lastU64,
    node: range.node,
    slow: range.speed === "slow",
  };
}

function wirePlan(plan: NodePlan, cmos: Uint8Array): Wire {
  return abi.wirePlan({
    ...plan,
    nodes: plan.nodes.map((node) => ({ ...node, address: bytesOf(node.address) })),
    routes: plan.routes.map(wireRoute),
    unixSecondsU64: BigInt(Math.floor(Date.now() / 1000)),
    cmos,
    guardOff: bytesOf(plan.guardOff),
  });
}

class NativeDataPlane implements DataPlane {
  readonly dataPort: number;
  readonly #library: Library;
  readonly #handle: bigint;
  readonly #decoder = new EventDecoder();
  readonly #loads = new Map<number, () => void>();
  readonly #early: DataEvent[] = [];
  readonly #reading = new BigUint64Array(2);
  readonly #printed = new Uint8Array(consoleBytesPerRead);
  #consoleHeld = false;
  #cancel: (() => Promise<void>) | undefined;
  #handler: ((event: DataEvent) => void) | undefined;
  #stopped: (() => void)[] = [];
  #nextTag = 1;
  readonly #answers = new EngineAnswers();

  constructor(address: string) {
    this.#library = library();
    const out = new BigUint64Array(1);
    this.#call(
      "gvm_open",
      (bytes, length) => this.#library.gvm_open(bytes, length, ptr(out)),
      abi.wireOpenOptions({
        address: bytesOf(address),
      }),
    );
    this.#handle = out[0] ?? 0n;
    this.dataPort = check("gvm_data_port", this.#library.gvm_data_port(this.#handle));
    void this.#listen(check("gvm_event_fd", this.#library.gvm_event_fd(this.#handle)));
  }

  facts(): HostFacts {
    const out = new Uint8Array(factsBytesMax);
    const length = check(
      "gvm_facts",
      this.#library.gvm_facts(this.#handle, ptr(out), BigInt(out.length)),
    );
    return readFacts(decode(out.subarray(0, length)));
  }

  configure(plan: NodePlan, cmos: Uint8Array): void {
    this.#call(
      "gvm_configure",
      (bytes, length) => this.#library.gvm_configure(this.#handle, bytes, length),
      wirePlan(plan, cmos),
    );
  }

  load(gpaU64: bigint, bytes: Uint8Array): Promise<void> {
    if (bytes.length === 0) return Promise.resolve();
    const tag = this.#nextTag;
    this.#nextTag += 1;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#loads.set(tag, resolve);
    check(
      "gvm_load",
      this.#library.gvm_load(this.#handle, gpaU64, ptr(bytes), BigInt(bytes.length), BigInt(tag)),
    );
    return promise;
  }

  boot(state: BootState): void {
    this.#call(
      "gvm_boot",
      (bytes, length) => this.#library.gvm_boot(this.#handle, bytes, length),
      abi.wireBoot({
        ...state,
        mode: abi.bootMode[state.mode],
      }),
    );
  }

  run(tscZeroNsU64: bigint): void {
    check("gvm_run", this.#library.gvm_run(this.#handle, tscZeroNsU64));
  }

  tsc(): TscReading {
    check("gvm_tsc", this.#library.gvm_tsc(this.#handle, ptr(this.#reading)));
    const [countU64 = 0n, advancedU64 = 0n] = this.#reading;
    return { countU64, advancedU64 };
  }

  advanceTsc(fromU64: bigint, ticksU64: bigint): "begun" | "busy" | "cannot" {
    try {
      const result = this.#library.gvm_tsc_advance(this.#handle, fromU64, ticksU64);
      check("gvm_tsc_advance", result);
      return "begun";
    } catch (error) {
      if (!(error instanceof NativeError)) throw error;
      if (error.code === "EBUSY") return "busy";
      if (error.code === "EOPNOTSUPP") return "cannot";
      throw error;
    }
  }

  stop(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#stopped.push(resolve);
    check("gvm_stop", this.#library.gvm_stop(this.#handle));
    return promise;
  }

  consoleInput(bytes: Uint8Array): number {
    if (bytes.length === 0) return 0;
    return check(
      "gvm_console_input",
      this.#library.gvm_console_input(this.#handle, ptr(bytes), BigInt(bytes.length)),
    );
  }

  holdConsole(hold: boolean): void {
    this.#consoleHeld = hold;
    if (!hold) this.#takeConsole(() => !this.#consoleHeld);
  }

  ioReply(id: number, data: Uint8Array): void {
    const padded = data.length === 0 ? new Uint8Array(1) : data;
    check(
      "gvm_io_reply",
      this.#library.gvm_io_reply(this.#handle, BigInt(id), ptr(padded), BigInt(data.length)),
    );
  }

  powerButton(): void {
    check("gvm_power_button", this.#library.gvm_power_button(this.#handle));
  }

  cmos(): Uint8Array {
    const out = new Uint8Array(cmosBytesMax);
    const length = check(
      "gvm_cmos",
      this.#library.gvm_cmos(this.#handle, ptr(out), BigInt(out.length)),
    );
    return out.subarray(0, length);
  }

  counters(): Counters {
    const names = Object.keys(abi.counter);
    const values = new BigUint64Array(names.length);
    check("gvm_counters", this.#library.gvm_counters(this.#handle, ptr(values), names.length));
    return Object.fromEntries(names.map((name, index) => [name, values[index] ?? 0n]));
  }

  registers(vcpu: number): string {
    const out = new Uint8Array(registersBytesMax);
    const length = check(
      "gvm_registers",
      this.#library.gvm_registers(this.#handle, vcpu, ptr(out), BigInt(out.length)),
    );
    return new TextDecoder().decode(out.subarray(0, length));
  }

  vcpu(vcpu: number): VcpuState {
    const out = new Uint8Array(vcpuBytesMax);
    const length = check(
      "gvm_vcpu",
      this.#library.gvm_vcpu(this.#handle, vcpu, ptr(out), BigInt(out.length)),
    );
    return abi.readVcpuState(decode(out.subarray(0, length)));
  }

  hot(): HotPages {
    const out = new Uint8Array(hotBytesMax);
    const length = check(
      "gvm_hot",
      this.#library.gvm_hot(this.#handle, ptr(out), BigInt(out.length)),
    );
    return abi.readHotPages(decode(out.subarray(0, length)));
  }

  async page(gpaU64: bigint): Promise<PageState> {
    return abi.readPageState(decode(await this.#ask(question.page, gpaU64, 1)));
  }

  memory(gpaU64: bigint, length: number): Promise<Uint8Array> {
    return this.#ask(question.memory, gpaU64, length);
  }

  async write(gpaU64: bigint, bytes: Uint8Array): Promise<void> {
    const id = this.#nextTag;
    this.#nextTag += 1;
    const length = bytes.length;
    const result = this.#library.gvm_write(this.#handle, BigInt(id), gpaU64, ptr(bytes), length);
    check("gvm_write", result);
    await this.#answers.of(id, gpaU64);
  }

  #ask(what: number, gpaU64: bigint, length: number): Promise<Uint8Array> {
    const id = this.#nextTag;
    this.#nextTag += 1;
    check("gvm_ask", this.#library.gvm_ask(this.#handle, BigInt(id), what, gpaU64, length));
    return this.#answers.of(id, gpaU64);
  }

  pause(hold: boolean, vcpu = allVcpus): void {
    check("gvm_pause", this.#library.gvm_pause(this.#handle, hold ? 1 : 0, vcpu));
  }

  guestDebug(vcpu: number, wanted: GuestDebug): void {
    this.#call(
      "gvm_guest_debug",
      (bytes, length) => this.#library.gvm_guest_debug(this.#handle, vcpu, bytes, length),
      abi.wireGuestDebug(wanted),
    );
  }

  setRegisters(vcpu: number, valuesU64: readonly bigint[]): void {
    this.#call(
      "gvm_set_registers",
      (bytes, length) => this.#library.gvm_set_registers(this.#handle, vcpu, bytes, length),
      abi.wireGeneralRegisters({ values: valuesU64 }),
    );
  }

  onEvent(handler: (event: DataEvent) => void): void {
    this.#handler = handler;
    for (const event of this.#early.splice(0)) handler(event);
  }

  async close(): Promise<void> {
    await this.#cancel?.();
    check("gvm_close", this.#library.gvm_close(this.#handle));
  }

  #call(
    name: string,
    call: (bytes: ReturnType<typeof ptr>, length: bigint) => number,
    value: Wire,
  ) {
    const bytes = encode(value);
    check(name, call(ptr(bytes), BigInt(bytes.length)));
  }

  /** The doorbell carries no data: one byte means "drain the ring". */
  async #listen(fd: number): Promise<void> {
    const reader = Bun.file(fd).stream().getReader();
    this.#cancel = () => reader.cancel();
    for (;;) {
      const { done } = await reader.read();
      if (done) return;
      this.#drain();
    }
  }

  #drain(): void {
    const buffer = new Uint8Array(eventsPerRead * eventBytes);
    for (;;) {
      const count = check(
        "gvm_events",
        this.#library.gvm_events(this.#handle, ptr(buffer), eventsPerRead),
      );
      const events = this.#decoder.decode(buffer, count);
      // What was printed before an event is there when the event is.
      if (events.some((event) => ends.has(event.kind))) this.#takeConsole(() => true);
      else this.#takeConsole(() => !this.#consoleHeld);
      for (const event of events) this.#dispatch(event);
      if (count < eventsPerRead) return;
    }
  }

  /** Until nothing is left: the doorbell tells only of output where there was none. */
  #takeConsole(wanted: () => boolean): void {
    for (let left = true; left && wanted();) {
      const count = check(
        "gvm_console",
        this.#library.gvm_console(this.#handle, ptr(this.#printed), BigInt(this.#printed.length)),
      );
      if (count > 0) this.#dispatch({ kind: "console", bytes: this.#printed.slice(0, count) });
      left = count === this.#printed.length;
    }
  }

  #dispatch(event: DataEvent): void {
    if (event.kind === "loaded") {
      this.#loads.get(event.tag)?.();
      this.#loads.delete(event.tag);
      return;
    }
    if (event.kind === "answer") {
      this.#answers.came(event.id, event.status, event.data);
      return;
    }
    if (event.kind === "stopped") for (const resolve of this.#stopped.splice(0)) resolve();
    if (this.#handler === undefined) return void this.#early.push(event);
    try {
      this.#handler(event);
    } catch (error) {
      // Nobody catches it, which ends the VM; the events after it, `stopped` above all, are read.
      void Promise.reject(error);
    }
  }
}

/** Opens /dev/kvm and a UDP socket on the address. Throws NativeError. */
export function openDataPlane(options: { readonly address: string }): DataPlane {
  return new NativeDataPlane(options.address);
}
