/**
 * @module One gdb that is connected, as answers to its packets (GDB manual, appendix E, "Packets").
 * Threads are the vCPUs of all nodes, numbered from 1; while gdb has stopped them all of them are
 * held. Memory is guest virtual memory of the thread that gdb looks at.
 */

import type { Breakpoint } from "../control/question.ts";
import type { VcpuView } from "../control/views.ts";
import { fromLittleEndian, packetMax } from "./rsp.ts";
import { allRegisters, oneRegister, targetXml, withRegister } from "./target.ts";

/** The VM as a session uses it. Rejections become E01, with the sentence for the log. */
export type Target = {
  /** Holds all vCPUs; resolves when they are held, or with those that are not after a while. */
  pause(): Promise<void>;
  resume(): Promise<void>;
  vcpus(): Promise<readonly VcpuView[]>;
  /** Guest virtual memory of a vCPU; fewer bytes where the mapping ends. */
  read(view: VcpuView, address: bigint, length: number): Promise<Uint8Array>;
  guestDebug(vcpu: number, step: boolean, breakpoints: readonly Breakpoint[]): Promise<void>;
  setRegisters(vcpu: number, valuesU64: readonly bigint[]): Promise<void>;
  /** A vCPU that stopped by itself since the last resume. */
  stopped(): Promise<number | undefined>;
};

const breakpointsMax = 4;
const ok = "OK";
const unknown = "";
const failed = "E01";
/** Z packets by their digit: kinds of DR7 (Intel SDM vol. 3B 18.2.4). Z3, reads alone, is none. */
const kinds: Readonly<Record<string, number>> = { 0: 0, 1: 0, 2: 1, 4: 3 };
/** Bytes to DR7's length field. */
const sizes: Readonly<Record<number, number>> = { 1: 0, 2: 1, 4: 3, 8: 2 };
const trap = "05";
const interrupted = "02";

export class Session {
  readonly #target: Target;
  #views: readonly VcpuView[] = [];
  #current = 0;
  #points: readonly Breakpoint[] = [];
  /** The guest runs, and gdb waits for a stop. */
  running = false;
  /** gdb has let go. */
  over = false;

  constructor(target: Target) {
    this.#target = target;
  }

  /** Before the first packet. */
  async start(): Promise<void> {
    await this.#target.pause();
    this.#views = await this.#target.vcpus();
  }

  /** Lets everything go as if no debugger had been there. */
  async end(): Promise<void> {
    this.over = true;
    if (this.running) await this.#target.pause();
    this.#points = [];
    await this.#arm(undefined);
    await this.#target.resume();
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
        return this.#write(text.slice(1));
      case "m":
        return this.#memory(text.slice(1));
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
    const vcpu = await this.#target.stopped();
    if (vcpu === undefined || !this.running) return undefined;
    this.#current = vcpu;
    return this.#stop(trap);
  }

  async #stop(signal: string): Promise<string> {
    this.running = false;
    await this.#target.pause();
    this.#views = await this.#target.vcpus();
    return this.#stopReply(signal);
  }

  #stopReply(signal: string): string {
    return `T${signal}thread:${(this.#current + 1).toString(16)};`;
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

  async #memory(words: string): Promise<string> {
    const [address = "", length = ""] = words.split(",");
    const most = Math.min(Number.parseInt(length, 16), packetMax / 2 - 8);
    if (!/^[0-9a-f]{1,16}$/i.test(address) || !(most >= 0)) return failed;
    const bytes = await this.#target.read(this.#view(), BigInt(`0x${address}`), most);
    return bytes.length === 0 && most > 0 ? failed : Buffer.from(bytes).toString("hex");
  }

  async #write(words: string): Promise<string> {
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

  #breakpoint(text: string): string {
    const [type = "", address = "", size = ""] = text.slice(1).split(",");
    const kind = kinds[type];
    if (kind === undefined) return unknown;
    const bytes = kind === 0 ? 0 : sizes[Number.parseInt(size, 16)];
    if (!/^[0-9a-f]{1,16}$/i.test(address) || bytes === undefined) return failed;
    const point = { addressU64: BigInt(`0x${address}`), kind, size: bytes };
    const others = this.#points.filter(
      (each) => each.addressU64 !== point.addressU64 || each.kind !== point.kind,
    );
    if (text.startsWith("z")) this.#points = others;
    else if (others.length >= breakpointsMax) return failed;
    else this.#points = [...others, point];
    return ok;
  }

  async #continued(text: string): Promise<string | undefined> {
    if (text === "vCont?") return "vCont;c;C;s;S";
    const step = /;[sS][0-9a-f]*(?::([0-9a-f]+))?/i.exec(text);
    const stepping = step === null ? undefined : Number.parseInt(step[1] ?? "1", 16) - 1;
    await this.#arm(stepping);
    await this.#target.resume();
    this.running = true;
    return undefined;
  }

  /** Breakpoints of every vCPU that is held; one that still waits for a page goes without. */
  async #arm(stepping: number | undefined): Promise<void> {
    for (const { vcpu, held } of this.#views) {
      if (held) await this.#target.guestDebug(vcpu, vcpu === stepping, this.#points);
    }
  }

  #query(text: string): string {
    if (text.startsWith("qSupported")) {
      const size = `PacketSize=${packetMax.toString(16)}`;
      return `${size};qXfer:features:read+;vContSupported+`;
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

/** A piece of a document: `m` and more follows, or `l` and the last. */
function partOf(document: string, request: string): string {
  const [offset = 0, length = 0] = (request.split(":").at(-1) ?? "")
    .split(",")
    .map((digits) => Number.parseInt(digits, 16));
  const part = document.slice(offset, offset + length);
  return (offset + length < document.length ? "m" : "l") + part;
}
