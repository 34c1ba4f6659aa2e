/**
 * @module Messages of the control plane (docs/wire.cddl): what nodes tell each other to become one
 * machine, to run it and to end it. parse.ts reads them.
 */

import type { HostFacts } from "../node/dataplane.ts";
import type { Wire } from "./cbor.ts";

/**
 * Raised with every change of a message or of its meaning, in either plane. What two versions need
 * to tell each other that they differ is frozen: docs/wire.cddl.
 */
export const protocolVersion = 5;

export type EndCause = "poweroff" | "reset" | "verdict" | "crash" | "signal" | "lost" | "failed";
export const causes: readonly EndCause[] = [
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
  /** Options that must be equal on all nodes, by name, as the user would write them. */
  readonly settings: readonly Setting[];
  readonly facts: HostFacts;
  readonly hide: readonly string[];
  /** Of node 0: it starts a kernel of the user's, which changes its page tables. */
  readonly kernel: boolean;
  /** Why no such kernel runs right on this host as one of several; empty where one does. */
  readonly obstacle: string;
};
export type Setting = readonly [option: string, value: string];
/** A Hello of another version: what is frozen of it. */
export type ForeignHello = {
  readonly kind: "foreign";
  readonly protocol: number;
  readonly build: string;
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
/** Counters of the guest's TSC without steps, and the ticks of the steps made (drift.ts). */
export type TscPing = {
  readonly kind: "tsc-ping";
  readonly epoch: number;
  readonly sentU64: bigint;
};
export type TscPong = {
  readonly kind: "tsc-pong";
  readonly epoch: number;
  readonly sentU64: bigint;
  readonly countU64: bigint;
  readonly advancedU64: bigint;
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
/** The console node's terminal takes no more output, or again. */
export type ConsoleHold = { readonly kind: "console-hold"; readonly hold: boolean };
/** Keys for the guest, to the device node; the next when it has answered that they are taken. */
export type InputBytes = { readonly kind: "input"; readonly bytes: Uint8Array };
export type InputTaken = { readonly kind: "input-taken" };
/** Somebody pressed the guest's power button, for the node that has it. */
export type Power = { readonly kind: "power" };
/** A question for this node's part of the VM (docs/debugging.md), and its answer; JSON. */
export type Ask = { readonly kind: "ask"; readonly id: number; readonly text: string };
export type Answer = { readonly kind: "answer"; readonly id: number; readonly text: string };
export type Alive = { readonly kind: "alive" };

/** An End for a node that is no part of the VM, whichever epoch it is in. */
export const epochAny = 0;

export type ControlMessage =
  | Hello
  | Ready
  | Start
  | Ping
  | Pong
  | TscPing
  | TscPong
  | End
  | Ended
  | ConsoleBytes
  | ConsoleHold
  | InputBytes
  | InputTaken
  | Alive
  | Power
  | Ask
  | Answer;

export const kinds = {
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
  power: 74,
  ask: 80,
  answer: 81,
  "tsc-ping": 75,
  "tsc-pong": 76,
  "console-hold": 77,
  "input-taken": 78,
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
        message.settings,
        factsToWire(message.facts),
        message.hide,
        message.kernel ? 1 : 0,
        message.obstacle,
      ];
    case "ready":
      return [kind, message.epoch, message.stage];
    case "start":
      return [kind, message.epoch, message.tscZeroNsU64];
    case "ping":
      return [kind, message.sentNsU64];
    case "pong":
      return [kind, message.sentNsU64, message.answeredNsU64];
    case "tsc-ping":
      return [kind, message.epoch, message.sentU64];
    case "tsc-pong":
      return [kind, message.epoch, message.sentU64, message.countU64, message.advancedU64];
    case "end":
      return [kind, message.epoch, causes.indexOf(message.cause), message.code, message.reason];
    case "ended":
      return [kind, message.epoch];
    case "console":
    case "input":
      return [kind, message.bytes];
    case "console-hold":
      return [kind, message.hold ? 1 : 0];
    case "alive":
    case "power":
    case "input-taken":
      return [kind];
    case "ask":
    case "answer":
      return [kind, message.id, message.text];
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
