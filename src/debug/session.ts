/**
 * @module One gdb that is connected, as answers to its packets (GDB manual, appendix E, "Packets").
 * Threads are the vCPUs of all nodes, numbered from 1; while gdb has stopped them all of them are
 * held. Memory is guest virtual memory of the thread that gdb looks at.
 *
 * Long because it is one state, and every packet works on it.
 */

import type { Breakpoint } from "../control/question.ts";
import type { VcpuView } from "../control/views.ts";
import { pagingOf } from "./guest.ts";
import { readVirtual, translate, writeVirtual } from "./paging.ts";
import { fromLittleEndian, packetMax } from "./rsp.ts";
import { type PhysicalMemory, SoftwareBreakpoints } from "./software.ts";
import { allRegisters, oneRegister, targetXml, withRegister } from "./target.ts";
import { actionsOf } from "./vcont.ts";

export type Wanted = {
  readonly step: boolean;
  readonly breakpoints: readonly Breakpoint[];
  /** Guest physical addresses of this session's int3s. */
  readonly int3sU64: readonly bigint[];
};

/** The VM as a session uses it. Rejections become E01, with the sentence for the log. */
export type Target = {
  /** Holds all vCPUs; resolves when they are held, or with those that are not after a while. */
  pause(): Promise<void>;
  /** Lets all go on, or these. */
  resume(vcpus?: readonly number[]): Promise<void>;
  vcpus(): Promise<readonly VcpuView[]>;
  readonly memory: PhysicalMemory;
  /** Of a vCPU from when it enters the guest next. */
  guestDebug(vcpu: number, wanted: Wanted): Promise<void>;
  setRegisters(vcpu: number, valuesU64: readonly bigint[]): Promise<void>;
  /** A vCPU that stopped by itself since the last resume; DR6 is 0 at an int3 of ours. */
  stopped(): Promise<{ readonly vcpu: number; readonly dr6U64: bigint } | undefined>;
};

const breakpointsMax = 4;
const ok = "OK";
const unknown = "";
const failed = "E01";
/**
 * Z packets by their digit: kinds of DR7 (Intel SDM vol. 3B 18.2.4). Z0 is an int3; Z3, reads
 * alone, is none.
 */
const kinds: ReadonlyMap<string, number> = new Map([
  ["1", 0],
  ["2", 1],
  ["4", 3],
]);
/** Reasons of a stop by kind, with the address where gdb wants it. */
const reasons: Readonly<Record<number, (address: string) => string>> = {
  0: () => "hwbreak:;",
  1: (address) => `watch:${address};`,
  3: (address) => `awatch:${address};`,
};
/** Bytes to DR7's length field. */
const sizes: Readonly<Record<number, number>> = { 1: 0, 2: 1, 4: 3, 8: 2 };
const trap = "05";
const interrupted = "02";

export class Session {
  readonly #target: Target;
  #views: readonly VcpuView[] = [];
  #current = 0;
  /** In the order of the debug registers. */
  #points: readonly Breakpoint[] = [];
  readonly #software: SoftwareBreakpoints;
  /** gdb knows the reasons swbreak and hwbreak. */
  #tellsReason = false;
  /** The guest runs, and gdb waits for a stop. */
  running = false;
  /** gdb has let go. */
  over = false;

  constructor(target: Target) {
    this.#target = target;
    this.#software = new SoftwareBreakpoints(target.memory);
  }

  /** Before the first packet. */
  async start(): Promise<void> {
    await this.#target.pause();
    this.#views = await this.#target.vcpus();
  }

  /**
   * Lets everything go as if no debugger had been there. Rejects, with the guest held, when an int3
   * cannot be taken back: the guest would run into it.
   */
  async end(): Promise<void> {
    try {
      if (this.running) await this.#target.pause();
      this.running = false;
      this.#views = await this.#target.vcpus();
      await this.#software.clearAll();
      this.#points = [];
      await this.#arm(() => false);
    } catch (error) {
      // A node that restarts its guest, say: the others have held already.
      if (this.#software.places.length === 0) await this.#target.resume();
      throw error;
    }
    await this.#target.resume();
    this.over = true;
  }

  /** The answer to a packet; undefined while the guest runs, until `poll` or `interrupt`. */
  async packet(text: string): Promise<string | undefined> {
    const [first = ""] = text;
    if (text.startsWith("vCont")) return this.#continued(text);
    switch (first) {
      case "?":
        return this.#stopReply(trap);
      case "g":
        return allRegisters(this.#view());
      case "p":
        return oneRegister(this.#view(), Number.parseInt(text.slice(1), 16)) ?? failed;
      case "P":
        return this.#writeRegister(text.slice(1));
      case "m":
        return this.#read(text.slice(1));
      case "M":
      case "X":
        return this.#write(text);
      case "c":
      case "s":
        return this.#continued(first === "s" ? `vCont;s:${this.#current + 1};c` : "vCont;c");
      case "Z":
      case "z":
        return this.#breakpoint(text);
      case "H":
        return this.#select(text.slice(2));
      case "T":
        return this.#views.some(({ vcpu }) => vcpu + 1 === Number.parseInt(text.slice(1), 16))
          ? ok
          : failed;
      case "D":
      case "k":
        await this.end();
        return ok;
      case "q":
        return this.#query(text);
      default:
        return unknown;
    }
  }

  /** Ctrl-C in gdb. */
  async interrupt(): Promise<string | undefined> {
    if (!this.running) return undefined;
    return this.#stop(interrupted);
  }

  /** To be called now and then while `running`: the answer when a vCPU has stopped. */
  async poll(): Promise<string | undefined> {
    const stop = await this.#target.stopped();
    if (stop === undefined || !this.running) return undefined;
    this.#current = stop.vcpu;
    return this.#stop(trap, stop.dr6U64);
  }

  async #stop(signal: string, dr6U64?: bigint): Promise<string> {
    // Until all are held it runs, and is looked at again.
    await this.#target.pause();
    this.running = false;
    this.#views = await this.#target.vcpus();
    const reason = dr6U64 === undefined || !this.#tellsReason ? "" : this.#reason(dr6U64);
    return this.#stopReply(signal, reason);
  }

  #stopReply(signal: string, reason = ""): string {
    return `T${signal}${reason}thread:${(this.#current + 1).toString(16)};`;
  }

  /** Why the thread stopped, as a stop reply says it; nothing after a step. */
  #reason(dr6U64: bigint): string {
    if (dr6U64 === 0n) {
      // Through another mapping of the page gdb knows of no breakpoint, and would pass over it.
      const rip = BigInt(this.#view().general["rip"] ?? "0x0");
      return this.#software.has(rip) ? "swbreak:;" : "";
    }
    const point = this.#points.find((_, index) => ((dr6U64 >> BigInt(index)) & 1n) === 1n);
    return point === undefined ? "" : (reasons[point.kind]?.(point.addressU64.toString(16)) ?? "");
  }

  #view(): VcpuView {
    const view = this.#views.find(({ vcpu }) => vcpu === this.#current) ?? this.#views[0];
    if (view === undefined) throw new Error("no vCPU is known");
    return view;
  }

  #select(word: string): string {
    const thread = Number.parseInt(word, 16);
    // 0 and -1: any, all.
    if (thread > 0) this.#current = thread - 1;
    return Number.isNaN(thread) ? failed : ok;
  }

  async #read(words: string): Promise<string> {
    const [address = "", length = ""] = words.split(",");
    const most = Math.min(Number.parseInt(length, 16), packetMax / 2 - 8);
    if (!isAddress(address) || !(most >= 0)) return failed;
    const paging = pagingOf(this.#view());
    const bytes = await readVirtual(paging, this.#software.read, BigInt(`0x${address}`), most);
    return bytes.length === 0 && most > 0 ? failed : Buffer.from(bytes).toString("hex");
  }

  /** M in hexadecimal digits, X in bytes. */
  async #write(text: string): Promise<string> {
    const colon = text.indexOf(":");
    const [address = "", length = ""] = text.slice(1, Math.max(colon, 1)).split(",");
    const encoding = text.startsWith("M") ? "hex" : "latin1";
    const bytes = new Uint8Array(Buffer.from(text.slice(colon + 1), encoding));
    if (!isAddress(address) || bytes.length !== Number.parseInt(length, 16)) return failed;
    const paging = pagingOf(this.#view());
    const done = await writeVirtual(paging, this.#software, BigInt(`0x${address}`), bytes);
    return done ? ok : failed;
  }

  async #writeRegister(words: string): Promise<string> {
    const [number = "", digits = ""] = words.split("=");
    const value = fromLittleEndian(digits);
    if (value === undefined) return failed;
    const view = this.#view();
    const values = withRegister(view, Number.parseInt(number, 16), value);
    if (values === undefined) return failed;
    await this.#target.setRegisters(view.vcpu, values);
    this.#views = await this.#target.vcpus();
    return ok;
  }

  async #breakpoint(text: string): Promise<string> {
    const [type = "", digits = "", size = ""] = text.slice(1).split(",");
    const kind = kinds.get(type);
    if (kind === undefined && type !== "0") return unknown;
    if (!isAddress(digits)) return failed;
    const addressU64 = BigInt(`0x${digits}`);
    const set = text.startsWith("Z");
    if (kind === undefined) return set ? this.#setInt3(addressU64) : this.#clearInt3(addressU64);
    const bytes = kind === 0 ? 0 : sizes[Number.parseInt(size, 16)];
    if (bytes === undefined) return failed;
    const others = this.#points.filter(
      (each) => each.addressU64 !== addressU64 || each.kind !== kind,
    );
    if (set && others.length >= breakpointsMax) return failed;
    this.#points = set ? [...others, { addressU64, kind, size: bytes }] : others;
    return ok;
  }

  /** Only while every vCPU is held: one that runs would take the int3 for the guest's own. */
  async #setInt3(address: bigint): Promise<string> {
    this.#views = await this.#target.vcpus();
    const free = this.#views.find(({ held }) => !held);
    if (free !== undefined) {
      throw new Error(
        `vCPU ${free.vcpu} is not held yet (info threads says what it waits for): ` +
          "software breakpoints are set when all are",
      );
    }
    const found = await translate(pagingOf(this.#view()), this.#software.read, address);
    if ("missing" in found) {
      throw new Error(`no breakpoint at 0x${address.toString(16)}: ${found.missing}`);
    }
    if (!this.#software.hasRoom) return failed;
    // Refused where KVM does not tell of int3s: none may be there then.
    await this.#arm(() => false, found.gpa);
    await this.#software.set(address, found.gpa);
    return ok;
  }

  async #clearInt3(address: bigint): Promise<string> {
    await this.#software.clear(address);
    return ok;
  }

  async #continued(text: string): Promise<string | undefined> {
    if (text === "vCont?") return "vCont;c;C;s;S";
    const vcpus = this.#views.map(({ vcpu }) => vcpu);
    const actions = actionsOf(text, vcpus);
    if (actions.size === 0) return failed;
    await this.#arm((vcpu) => actions.get(vcpu) === "step");
    // Off a breakpoint gdb lets one thread step alone: another would run through the gap.
    await this.#target.resume(actions.size === vcpus.length ? undefined : [...actions.keys()]);
    this.running = true;
    return undefined;
  }

  /** What every vCPU shall stop at; one that waits for a page has it when it goes on. */
  async #arm(steps: (vcpu: number) => boolean, ...more: readonly bigint[]): Promise<void> {
    const int3sU64 = [...new Set([...this.#software.places, ...more])];
    const common = { breakpoints: this.#points, int3sU64 };
    for (const { vcpu } of this.#views) {
      await this.#target.guestDebug(vcpu, { ...common, step: steps(vcpu) });
    }
  }

  #query(text: string): string {
    if (text.startsWith("qSupported")) {
      const size = `PacketSize=${packetMax.toString(16)}`;
      this.#tellsReason = /[:;]swbreak\+/.test(text);
      return `${size};qXfer:features:read+;vContSupported+;swbreak+;hwbreak+`;
    }
    if (text.startsWith("qXfer:features:read:target.xml:")) return partOf(targetXml, text);
    if (text === "qfThreadInfo") {
      return `m${this.#views.map(({ vcpu }) => (vcpu + 1).toString(16)).join(",")}`;
    }
    if (text === "qsThreadInfo") return "l";
    if (text === "qC") return `QC${(this.#current + 1).toString(16)}`;
    if (text === "qAttached") return "1";
    if (text.startsWith("qSymbol")) return ok;
    const asked = /^qThreadExtraInfo,([0-9a-f]+)$/i.exec(text)?.[1];
    if (asked !== undefined) return this.#describe(Number.parseInt(asked, 16) - 1);
    return unknown;
  }

  #describe(vcpu: number): string {
    const view = this.#views.find((each) => each.vcpu === vcpu);
    if (view === undefined) return failed;
    const waits = view.waits === null ? "" : `, waits for page ${view.waits.gpa}`;
    const stale = view.held ? "" : ", not held: its registers are old";
    return Buffer.from(`vCPU ${vcpu} ${view.activity}${waits}${stale}`).toString("hex");
  }
}

function isAddress(digits: string): boolean {
  return /^[0-9a-f]{1,16}$/i.test(digits);
}

/** A piece of a document: `m` and more follows, or `l` and the last. */
function partOf(document: string, request: string): string {
  const [offset = 0, length = 0] = (request.split(":").at(-1) ?? "")
    .split(",")
    .map((digits) => Number.parseInt(digits, 16));
  const part = document.slice(offset, offset + length);
  return (offset + length < document.length ? "m" : "l") + part;
}
