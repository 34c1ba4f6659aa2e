/** @module One process of the simulated cluster, and the plan of what happens to all of them. */

import type { HostFacts } from "../node/dataplane.ts";
import { Member } from "../protocol/member.ts";
import type { Random } from "./random.ts";

export const port = 7777;

export type Plan = {
  readonly seed: number;
  readonly nodes: number;
  readonly lossPercent: number;
  readonly silenceMs: number;
  readonly joinMs: number;
  /** Nodes are started within so long. */
  readonly startMs: number;
  /** vCPUs need up to so long to stop. */
  readonly stopMs: number;
  /** Opening, configuring and closing the data plane take up to so long, deaf to all else. */
  readonly blockMs: number;
  /** What is wrong with the last node, or happens to it, before the VM can run. */
  readonly trouble:
    | "none"
    | "build"
    | "order"
    | "protocol"
    | "version"
    | "setting"
    | "obstacle"
    | "open"
    | "again"
    | "again-any"
    | "absent"
    /** It and the one before it never hear each other. */
    | "apart";
  /** What happens once all nodes run. */
  readonly ending:
    | "poweroff"
    | "reset"
    | "reset-kill"
    | "reset-hang"
    | "reset-signal"
    /** A node stands still for twice the silence on the way. */
    | "reset-slow"
    /** A node dies when it has stopped, or is about to come back. */
    | "reset-lost"
    /** The same, and it is started again. */
    | "reset-again"
    /** Two nodes end the VM at the same time, for two reasons. */
    | "twice"
    | "kill"
    | "again"
    | "cut"
    | "blip";
};

export type NodeLog = {
  configured: number;
  loaded: number;
  ran: number;
  restarts: number;
  finished: { readonly code: number; readonly reason: string } | undefined;
};

/** As many CPUID entries as a real host has: a Hello takes several frames. */
export function factsOf(random: Random): HostFacts {
  const u32 = () => random.below(2 ** 32);
  const cpuid = Array.from({ length: 90 }, (_, index) => ({
    leaf: index,
    index: 0,
    flags: 0,
    eax: u32(),
    ebx: u32(),
    ecx: u32(),
    edx: u32(),
  }));
  return {
    vendor: "AuthenticAMD",
    cpuid,
    tscKhz: 2_600_000,
    physicalAddressBits: 48,
    xcr0U64: 7n,
  };
}

/** One process: what a node is until it dies. */
export class Process {
  readonly log: NodeLog = { configured: 0, loaded: 0, ran: 0, restarts: 0, finished: undefined };
  readonly member: Member;
  alive = true;
  /** The latest process of each other place from which anything has come. */
  readonly known = new Map<number, Process>();
  /** Epochs for which this process has said that it is configured, and loaded. */
  configured = 0;
  loaded = 0;
  stopping = false;
  /** Dies in its next restart. */
  dying = false;
  /** Deaf and dumb until then; what comes meanwhile waits in its socket. */
  blockedUntilNsU64 = 0n;
  readonly socket: (() => void)[] = [];

  constructor(
    readonly place: number,
    /** Places in the order of this node's --peers. */
    readonly order: readonly number[],
    plan: Plan,
    instanceU64: bigint,
    nowNsU64: bigint,
  ) {
    const endpoints = order.map((peer) => ({ address: `h${peer}`, port }));
    this.member = new Member(
      {
        node: order.indexOf(place),
        names: order.map((peer) => `n${peer}`),
        endpoints,
        instanceU64,
        build: "same",
        silenceMs: plan.silenceMs,
        joinMs: plan.joinMs,
        cpuidOf: () => [],
      },
      nowNsU64,
    );
  }
}
