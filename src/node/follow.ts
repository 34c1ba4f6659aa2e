/**
 * @module This node's guest TSC among the other nodes', carried out: drift.ts (protocol/) decides
 * who is asked and when to step forward, the data plane is read and steps. Nobody follows anybody
 * while no guest runs.
 */

import { Drift, type DriftEvent } from "../protocol/drift.ts";
import type { TscPing, TscPong } from "../protocol/messages.ts";
import type { Counters, DataPlane, TscReading } from "./dataplane.ts";

export type FollowOptions = {
  readonly node: number;
  readonly names: readonly string[];
  /** undefined between two epochs. */
  readonly dataPlane: () => Pick<DataPlane, "tsc" | "advanceTsc"> | undefined;
  /** A loss does not matter. */
  readonly sendOnce: (to: number, message: TscPing | TscPong) => void;
  readonly info: (text: string) => void;
  readonly warn: (text: string) => void;
};

export class TscFollower {
  readonly #o: FollowOptions;
  /** While the VM runs. */
  #drift: Drift | undefined;
  /** When the last datagram came. */
  #arrival: TscReading | undefined;

  constructor(options: FollowOptions) {
    this.#o = options;
  }

  /** The vCPUs of this epoch run, with a guest TSC of so many kHz. */
  start(epoch: number, tscKhz: number): void {
    const now = this.#o.dataPlane()?.tsc();
    if (now === undefined) return;
    const { node, names } = this.#o;
    this.#drift = new Drift({ node, names, epoch, tscKhz }, now);
  }

  stop(): void {
    this.#drift = undefined;
  }

  /** A datagram has come; what is in it is not read yet. */
  arrived(): void {
    this.#arrival = this.#now();
  }

  tick(): void {
    this.#step({ kind: "tick" }, this.#now());
  }

  /** A message of the datagram that came last. */
  message(from: number, message: TscPing | TscPong): void {
    // An answer counts from when it came, a question is answered as late as can be: what is between
    // an answer's reading and its arrival is what a node stays behind by.
    const came = message.kind === "tsc-pong" ? this.#arrival : undefined;
    this.#step({ kind: "message", from, message }, came ?? this.#now());
  }

  /** How far the guest's TSCs may be apart; nothing before that is known. */
  counters(): Counters {
    const now = this.#now();
    const report = now === undefined ? undefined : this.#drift?.report(now);
    if (report === undefined) return {};
    return { tscBoundNs: BigInt(report.boundNs), tscRatePpb: BigInt(report.ratePpb) };
  }

  #now(): TscReading | undefined {
    return this.#drift === undefined ? undefined : this.#o.dataPlane()?.tsc();
  }

  #step(event: DriftEvent, now: TscReading | undefined): void {
    if (now === undefined) return;
    for (const effect of this.#drift?.step(event, now) ?? []) {
      switch (effect.kind) {
        case "send":
          this.#o.sendOnce(effect.to, effect.message);
          break;
        case "advance":
          // A step that was not made is asked for again, from what is known then.
          if (this.#o.dataPlane()?.advanceTsc(effect.fromU64, effect.ticksU64) === "cannot") {
            this.#step({ kind: "cannot" }, now);
          }
          break;
        case "info":
          this.#o.info(effect.text);
          break;
        case "warn":
          this.#o.warn(effect.text);
          break;
        default:
          effect satisfies never;
      }
    }
  }
}
