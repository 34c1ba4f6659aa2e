/**
 * @module Messages of the control plane (docs/wire.cddl): what nodes tell each other to become one
 * machine, to run it and to end it. Reading checks every field; what does not fit is undefined.
 */

import type { CpuidEntry, HostFacts } from "../node/dataplane.ts";
import type { Wire } from "./cbor.ts";

/** Raised with every change of a message or of its meaning, in either plane. */
export const protocolVersion = 1;

export type EndCause = "poweroff" | "reset" | "verdict" | "crash" | "signal" | "lost" | "failed";
const causes: readonly EndCause[] = [
  "poweroff",
  "reset",
  "verdict",
  "crash",
  "signal",
  "lost",
  "failed",
];

export type Hello = {
  readonly kind: "hello";
  readonly protocol: number;
  readonly build: string;
  readonly epoch: number;
  /** The list of peers as this node has it, resolved, in order. */
  readonly order: string;
  readonly cpus: number;
  readonly ramPages: number;
  readonly dataPort: number;
  readonly vmIdU64: bigint;
  readonly silenceMs: number;
  readonly facts: HostFacts;
  readonly hide: readonly string[];
};
export type Ready = { readonly kind: "ready"; readonly epoch: number; readonly stage: number };
export type Start = {
  readonly kind: "start";
  readonly epoch: number;
  readonly tscZeroNsU64: bigint;
};
export type Ping = { readonly kind: "ping"; readonly sentNsU64: bigint };
export type Pong = {
  readonly kind: "pong";
  readonly sentNsU64: bigint;
  readonly answeredNsU64: bigint;
};
export type End = {
  readonly kind: "end";
  readonly epoch: number;
  readonly cause: EndCause;
  readonly code: number;
  readonly reason: string;
};
export type Ended = { readonly kind: "ended"; readonly epoch: number };
export type ConsoleBytes = { readonly kind: "console"; readonly bytes: Uint8Array };
export type InputBytes = { readonly kind: "input"; readonly bytes: Uint8Array };
export type Alive = { readonly kind: "alive" };

export type ControlMessage =
  Hello | Ready | Start | Ping | Pong | End | Ended | ConsoleBytes | InputBytes | Alive;

const kinds = {
  hello: 64,
  ready: 65,
  start: 66,
  ping: 67,
  pong: 68,
  end: 69,
  ended: 70,
  console: 71,
  input: 72,
  alive: 73,
} as const;

export function toWire(message: ControlMessage): Wire {
  const kind = kinds[message.kind];
  switch (message.kind) {
    case "hello":
      return [
        kind,
        message.protocol,
        message.build,
        message.epoch,
        message.order,
        message.cpus,
        message.ramPages,
        message.dataPort,
        message.vmIdU64,
        message.silenceMs,
        factsToWire(message.facts),
        message.hide,
      ];
    case "ready":
      return [kind, message.epoch, message.stage];
    case "start":
      return [kind, message.epoch, message.tscZeroNsU64];
    case "ping":
      return [kind, message.sentNsU64];
    case "pong":
      return [kind, message.sentNsU64, message.answeredNsU64];
    case "end":
      return [kind, message.epoch, causes.indexOf(message.cause), message.code, message.reason];
    case "ended":
      return [kind, message.epoch];
    case "console":
    case "input":
      return [kind, message.bytes];
    case "alive":
      return [kind];
    default:
      return message satisfies never;
  }
}

function factsToWire(facts: HostFacts): Wire {
  return [
    facts.vendor,
    facts.cpuid.map((e) => [e.leaf, e.index, e.flags, e.eax, e.ebx, e.ecx, e.edx]),
    facts.tscKhz,
    facts.physicalAddressBits,
    facts.xcr0U64,
  ];
}

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

function readHello(items: readonly Wire[]): Hello | undefined {
  const fields = new Fields(items, 11);
  const fail = () => {
    fields.ok = false;
  };
  const hello: Hello = {
    kind: "hello",
    protocol: fields.u32(),
    build: fields.text(),
    epoch: fields.u32(),
    order: fields.text(),
    cpus: fields.u32(255),
    ramPages: fields.u32(),
    dataPort: fields.u32(65535),
    vmIdU64: fields.u64(),
    silenceMs: fields.u32(),
    facts: readFacts(fields.list(), fail),
    hide: fields.list().map((name) => (typeof name === "string" ? name : (fail(), ""))),
  };
  return fields.ok ? hello : undefined;
}

/** undefined when malformed or of an unknown kind. */
export function fromWire(value: Wire): ControlMessage | undefined {
  if (!Array.isArray(value)) return undefined;
  const [number, ...items] = value as readonly Wire[];
  const message = ((): ControlMessage | undefined | Fields => {
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
      case kinds.ping: {
        const f = new Fields(items, 1);
        const ping: Ping = { kind: "ping", sentNsU64: f.u64() };
        return f.ok ? ping : undefined;
      }
      case kinds.pong: {
        const f = new Fields(items, 2);
        const pong: Pong = { kind: "pong", sentNsU64: f.u64(), answeredNsU64: f.u64() };
        return f.ok ? pong : undefined;
      }
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
      case kinds.input: {
        const f = new Fields(items, 1);
        const bytes = f.bytes();
        if (!f.ok) return undefined;
        return { kind: number === kinds.console ? "console" : "input", bytes };
      }
      case kinds.alive:
        return items.length === 0 ? { kind: "alive" } : undefined;
      default:
        return undefined;
    }
  })();
  return message instanceof Fields ? undefined : message;
}
