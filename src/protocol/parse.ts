/** @module Reads messages of the control plane: every field is checked, what does not fit is
 * undefined. */

import type { CpuidEntry, HostFacts } from "../node/dataplane.ts";
import type { Wire } from "./cbor.ts";
import {
  type Answer,
  type Ask,
  causes,
  type ConsoleBytes,
  type ConsoleHold,
  type ControlMessage,
  type Ended,
  type ForeignHello,
  type Hello,
  type InputBytes,
  kinds,
  type Ping,
  type Pong,
  protocolVersion,
  type Ready,
  type Setting,
  type Start,
  type TscPing,
  type TscPong,
} from "./messages.ts";

/** Reads fields in order; `ok` turns false at the first that does not fit. */
class Fields {
  #at = 0;
  ok = true;

  constructor(
    readonly items: readonly Wire[],
    length: number,
  ) {
    if (items.length !== length) this.ok = false;
  }

  #next(): Wire | undefined {
    const value = this.items[this.#at];
    this.#at += 1;
    return value;
  }

  #bad<T>(fallback: T): T {
    this.ok = false;
    return fallback;
  }

  u32(max = 0xffff_ffff): number {
    const value = this.#next();
    return typeof value === "number" && value <= max ? value : this.#bad(0);
  }

  u64(): bigint {
    const value = this.#next();
    return typeof value === "bigint" ? value : this.#bad(0n);
  }

  text(): string {
    const value = this.#next();
    return typeof value === "string" ? value : this.#bad("");
  }

  bytes(): Uint8Array {
    const value = this.#next();
    return value instanceof Uint8Array ? value : this.#bad(new Uint8Array());
  }

  list(): readonly Wire[] {
    const value = this.#next();
    return Array.isArray(value) ? value : this.#bad([]);
  }
}

function readEntry(item: Wire, fail: () => void): CpuidEntry {
  const fields = new Fields(Array.isArray(item) ? item : [], 7);
  const entry = {
    leaf: fields.u32(),
    index: fields.u32(),
    flags: fields.u32(),
    eax: fields.u32(),
    ebx: fields.u32(),
    ecx: fields.u32(),
    edx: fields.u32(),
  };
  if (!fields.ok) fail();
  return entry;
}

function readFacts(items: readonly Wire[], fail: () => void): HostFacts {
  const fields = new Fields(items, 5);
  const facts = {
    vendor: fields.text(),
    cpuid: fields.list().map((item) => readEntry(item, fail)),
    tscKhz: fields.u32(),
    physicalAddressBits: fields.u32(64),
    xcr0U64: fields.u64(),
  };
  if (!fields.ok) fail();
  return facts;
}

function readSetting(item: Wire, fail: () => void): Setting {
  const fields = new Fields(Array.isArray(item) ? item : [], 2);
  const setting: Setting = [fields.text(), fields.text()];
  if (!fields.ok) fail();
  return setting;
}

/** Protocol and build of any version's Hello; the rest only of this version's. */
function readHello(items: readonly Wire[]): Hello | ForeignHello | undefined {
  const frozen = new Fields(items.slice(0, 2), 2);
  const protocol = frozen.u32();
  const build = frozen.text();
  if (!frozen.ok) return undefined;
  const rest = protocol === protocolVersion ? readOwnHello(items, build) : undefined;
  return rest ?? { kind: "foreign", protocol, build };
}

function readOwnHello(items: readonly Wire[], build: string): Hello | undefined {
  const fields = new Fields(items.slice(2), 11);
  const fail = () => {
    fields.ok = false;
  };
  const hello: Hello = {
    kind: "hello",
    protocol: protocolVersion,
    build,
    epoch: fields.u32(),
    order: fields.text(),
    cpus: fields.u32(255),
    ramPages: fields.u32(),
    dataPort: fields.u32(65535),
    vmIdU64: fields.u64(),
    settings: fields.list().map((item) => readSetting(item, fail)),
    facts: readFacts(fields.list(), fail),
    hide: fields.list().map((name) => (typeof name === "string" ? name : (fail(), ""))),
    kernel: fields.u32(1) === 1,
    obstacle: fields.text(),
  };
  return fields.ok ? hello : undefined;
}

type Keys = ConsoleBytes | InputBytes;

function readBytes(kind: Keys["kind"], items: readonly Wire[]): Keys | undefined {
  const fields = new Fields(items, 1);
  const bytes = fields.bytes();
  return fields.ok ? { kind, bytes } : undefined;
}

function readHold(items: readonly Wire[]): ConsoleHold | undefined {
  const fields = new Fields(items, 1);
  const hold = fields.u32(1) === 1;
  return fields.ok ? { kind: "console-hold", hold } : undefined;
}

function readQuestion(kind: "ask" | "answer", items: readonly Wire[]): Ask | Answer | undefined {
  const fields = new Fields(items, 2);
  const [id, text] = [fields.u32(), fields.text()];
  return fields.ok ? { kind, id, text } : undefined;
}

function readClock(kind: number, items: readonly Wire[]): ControlMessage | undefined {
  if (kind === kinds.ping) {
    const f = new Fields(items, 1);
    const ping: Ping = { kind: "ping", sentNsU64: f.u64() };
    return f.ok ? ping : undefined;
  }
  if (kind === kinds.pong) {
    const f = new Fields(items, 2);
    const pong: Pong = { kind: "pong", sentNsU64: f.u64(), answeredNsU64: f.u64() };
    return f.ok ? pong : undefined;
  }
  const asks = kind === kinds["tsc-ping"];
  const f = new Fields(items, asks ? 2 : 4);
  const ping: TscPing = { kind: "tsc-ping", epoch: f.u32(), sentU64: f.u64() };
  if (asks) return f.ok ? ping : undefined;
  const pong: TscPong = {
    ...ping,
    kind: "tsc-pong",
    countU64: f.u64(),
    advancedU64: f.u64(),
  };
  return f.ok ? pong : undefined;
}

/** undefined when malformed or of an unknown kind. */
export function fromWire(value: Wire): ControlMessage | ForeignHello | undefined {
  if (!Array.isArray(value)) return undefined;
  const [number, ...items] = value as readonly Wire[];
  const message = ((): ControlMessage | ForeignHello | undefined | Fields => {
    switch (number) {
      case kinds.hello:
        return readHello(items);
      case kinds.ready: {
        const f = new Fields(items, 2);
        const ready: Ready = { kind: "ready", epoch: f.u32(), stage: f.u32(2) };
        return f.ok ? ready : undefined;
      }
      case kinds.start: {
        const f = new Fields(items, 2);
        const start: Start = { kind: "start", epoch: f.u32(), tscZeroNsU64: f.u64() };
        return f.ok ? start : undefined;
      }
      case kinds.ping:
      case kinds.pong:
      case kinds["tsc-ping"]:
      case kinds["tsc-pong"]:
        return readClock(number, items);
      case kinds.end: {
        const f = new Fields(items, 4);
        const epoch = f.u32();
        const cause = causes[f.u32()];
        const code = f.u32(255);
        const reason = f.text();
        if (!f.ok || cause === undefined) return undefined;
        return { kind: "end", epoch, cause, code, reason };
      }
      case kinds.ended: {
        const f = new Fields(items, 1);
        const ended: Ended = { kind: "ended", epoch: f.u32() };
        return f.ok ? ended : undefined;
      }
      case kinds.console:
        return readBytes("console", items);
      case kinds.input:
        return readBytes("input", items);
      case kinds["console-hold"]:
        return readHold(items);
      case kinds.ask:
        return readQuestion("ask", items);
      case kinds.answer:
        return readQuestion("answer", items);
      case kinds.alive:
        return items.length === 0 ? { kind: "alive" } : undefined;
      case kinds.power:
        return items.length === 0 ? { kind: "power" } : undefined;
      case kinds["input-taken"]:
        return items.length === 0 ? { kind: "input-taken" } : undefined;
      default:
        return undefined;
    }
  })();
  return message instanceof Fields ? undefined : message;
}
