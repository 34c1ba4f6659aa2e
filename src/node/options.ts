/**
 * @module What a daemon is given by the program around it, and what it leaves when the VM has
 * ended.
 */

import type { SlowDevice } from "../devices/scratch.ts";
import type { GuestImages } from "../machine/images.ts";
import type { Agreement } from "../protocol/agreement.ts";
import type { Endpoint } from "../protocol/channel.ts";
import type { Hello } from "../protocol/messages.ts";
import type { Counters, CpuidEntry, DataPlane, NodePlan } from "./dataplane.ts";

export type Peer = Endpoint & { readonly name: string };

export type Log = {
  info(text: string): void;
  /** Said without -v, too. */
  warn(text: string): void;
  debug(text: string): void;
  error(text: string): void;
};

export type DaemonOptions = {
  readonly node: number;
  readonly peers: readonly Peer[];
  readonly build: string;
  readonly silenceMs: number;
  readonly joinMs: number;
  readonly deviceNode: number;
  readonly consoleNode: number;
  /** All slow devices of the VM; this node executes those placed on it. */
  readonly devices: readonly SlowDevice[];
  /** A new data plane and this node's Hello for an epoch; what it throws ends the VM. */
  readonly open: (epoch: number) => { readonly dataPlane: DataPlane; readonly hello: Hello };
  readonly cpuidOf: (hellos: readonly Hello[]) => readonly CpuidEntry[];
  readonly planOf: (agreement: Agreement, hellos: readonly Hello[]) => NodePlan;
  /** What the guest starts with; asked on node 0 only. */
  readonly images: (agreement: Agreement, hellos: readonly Hello[]) => Promise<GuestImages>;
  /** The exit code and the sentence for what the data plane threw. */
  readonly explain: (error: unknown) => { readonly code: number; readonly message: string };
  /** CLOCK_MONOTONIC of this host: the data plane's clock, the same for all its processes. */
  readonly nowNs: () => bigint;
  readonly send: (bytes: Uint8Array, to: Endpoint) => void;
  /** Takes the guest's output; false: no more, please, until `consoleReady` is called. */
  readonly console: (bytes: Uint8Array) => boolean;
  readonly log: Log;
};

export type Outcome = {
  readonly code: number;
  readonly cause: string;
  readonly reason: string;
  readonly counters: Counters;
  /** False when vCPUs may still be inside: only the end of the process frees them. */
  readonly clean: boolean;
};
