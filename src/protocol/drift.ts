/**
 * @module One node's guest TSC among the others', while the VM runs, as a pure state machine. Nodes
 * ask each other for their counters all the time; one that is certainly behind another makes its
 * guest's TSC step forward, by no more than it is certainly behind. So all follow the fastest, none
 * goes back, and no step makes anyone the fastest: what is ahead of all is always some host's own
 * oscillator.
 *
 * A TSC is a counter without steps, which the host's oscillator moves (skew.ts compares those), and
 * the ticks of all steps, which every answer tells. A step is small and late samples stay true.
 */

import { nameOf } from "./agreement.ts";
import type { TscPing, TscPong } from "./messages.ts";
import { rateMax, signed, Skew } from "./skew.ts";

const secondsPerAnswer = 0.2;
/** Of all peers together. */
const secondsPerPingMin = 0.01;
const secondsPerLook = 0.05;
/** Steps that were given up are made up for, but not all at once. */
const secondsPerStepMax = 4 * secondsPerLook;
/** A lead below this is left to grow: a step takes all vCPUs out of the guest. */
const secondsPerStepMin = 5e-6;
/** A step is made within this time or never (vm/tsc.zig, wait_max_ns, and one millisecond). */
const secondsToStep = 0.011;
const secondsPerLine = 10;

/** The guest's TSC at one moment: without steps, and the ticks of all steps. */
export type Reading = { readonly countU64: bigint; readonly advancedU64: bigint };

export type DriftOptions = {
  readonly node: number;
  readonly names: readonly string[];
  readonly epoch: number;
  readonly tscKhz: number;
};

export type DriftEvent =
  | { readonly kind: "tick" }
  | { readonly kind: "message"; readonly from: number; readonly message: TscPing | TscPong }
  /** What `advance` asked for is not possible on this host. */
  | { readonly kind: "cannot" };

export type DriftEffect =
  | { readonly kind: "send"; readonly to: number; readonly message: TscPing | TscPong }
  /** A step by `ticks`, unless the steps made do not come to `from` any more. */
  | { readonly kind: "advance"; readonly fromU64: bigint; readonly ticksU64: bigint }
  | { readonly kind: "info"; readonly text: string }
  | { readonly kind: "warn"; readonly text: string };

/** What is known of all peers' TSCs now. */
export type DriftReport = {
  /** No other node's guest TSC is further from this one's. */
  readonly boundNs: number;
  /** Of the peer whose counter's rate differs most, in billionths; positive: it is the faster. */
  readonly ratePpb: number;
};

type Peer = {
  readonly node: number;
  readonly skew: Skew;
  /** The steps it had made when its counter was `asOf` at the earliest, by the own counter. */
  advancedU64: bigint;
  asOfU64: bigint;
  jumped: boolean;
};

/** All peers at one moment, in ticks relative to this node's TSC. */
type View = {
  /** The most that one may be ahead, and behind. */
  readonly ahead: number;
  readonly behind: number;
  /** By how much one is ahead at least, now and as long as a step takes; and which. */
  readonly lead: number;
  readonly leader: number;
  readonly rate: number;
  /** Every peer has answered. */
  readonly whole: boolean;
};

export class Drift {
  readonly #options: DriftOptions;
  readonly #peers: readonly Peer[];
  readonly #second: number;
  #pingAtU64: bigint;
  #next = 0;
  #lookAtU64: bigint;
  #lineAtU64: bigint;
  /** The last step: when it was wanted, and until when it may be made. */
  #asked: {
    readonly fromU64: bigint;
    readonly ticks: number;
    readonly atU64: bigint;
    readonly untilU64: bigint;
  };
  /** When the last step that was made was wanted. */
  #steppedU64: bigint;
  #able = true;
  /** Steps not told yet. */
  #told = { advancedU64: 0n, steps: 0, seenU64: 0n };
  #effects: DriftEffect[] = [];

  constructor(options: DriftOptions, now: Reading) {
    this.#options = options;
    this.#second = options.tscKhz * 1000;
    this.#peers = options.names.flatMap((_, node) =>
      node === options.node
        ? []
        : {
            node,
            skew: new Skew(this.#second),
            advancedU64: 0n,
            asOfU64: now.countU64,
            jumped: false,
          },
    );
    this.#pingAtU64 = now.countU64;
    this.#lookAtU64 = now.countU64;
    this.#lineAtU64 = now.countU64;
    this.#steppedU64 = now.countU64;
    const atU64 = now.countU64;
    this.#asked = { fromU64: now.advancedU64, ticks: 0, atU64, untilU64: atU64 };
  }

  step(event: DriftEvent, now: Reading): readonly DriftEffect[] {
    switch (event.kind) {
      case "tick":
        this.#ping(now);
        this.#look(now);
        break;
      case "message":
        this.#message(event.from, event.message, now);
        break;
      case "cannot":
        this.#cannot(now);
        break;
      default:
        event satisfies never;
    }
    return this.#effects.splice(0);
  }

  /** undefined before every peer has answered. */
  report(now: Reading): DriftReport | undefined {
    const { ahead, behind, rate, whole } = this.#view(now);
    if (!whole) return undefined;
    const asked = this.#asked;
    const pending = now.countU64 <= asked.untilU64 && now.advancedU64 === asked.fromU64;
    const ticks = Math.max(ahead, behind + (pending ? asked.ticks : 0));
    return {
      boundNs: Math.ceil((ticks / this.#second) * 1e9),
      ratePpb: Math.round(rate * 1e9),
    };
  }

  #ticks(seconds: number): bigint {
    return BigInt(Math.round(seconds * this.#second));
  }

  #ping({ countU64 }: Reading): void {
    const peer = this.#peers[this.#next];
    if (peer === undefined || signed(countU64 - this.#pingAtU64) < 0n) return;
    const gap = Math.max(secondsPerPingMin, secondsPerAnswer / this.#peers.length);
    this.#pingAtU64 = countU64 + this.#ticks(gap);
    this.#next = (this.#next + 1) % this.#peers.length;
    const { epoch } = this.#options;
    const message = { kind: "tsc-ping", epoch, sentU64: countU64 } as const;
    this.#effects.push({ kind: "send", to: peer.node, message });
  }

  #message(from: number, message: TscPing | TscPong, now: Reading): void {
    const { epoch, names } = this.#options;
    const peer = this.#peers.find(({ node }) => node === from);
    if (message.epoch !== epoch || peer === undefined) return;
    if (message.kind === "tsc-ping") {
      const { sentU64 } = message;
      const answer = { kind: "tsc-pong", epoch, sentU64, ...now } as const;
      this.#effects.push({ kind: "send", to: from, message: answer });
      return;
    }
    const jump = peer.skew.add(message.sentU64, message.countU64, now.countU64);
    if (message.advancedU64 > peer.advancedU64) peer.advancedU64 = message.advancedU64;
    if (signed(message.sentU64 - peer.asOfU64) > 0n) peer.asOfU64 = message.sentU64;
    if (jump === 0 || peer.jumped) return;
    peer.jumped = true;
    this.#effects.push({
      kind: "warn",
      text:
        `the time stamp counters of this host and of ${nameOf(names, from)} jumped apart by ` +
        `${this.#us(jump)} or more, which no drift of ${rateMax * 1e6} ppm does: one of them was ` +
        "suspended or moved, or its TSC is not stable; the guest's clocks disagree until the " +
        "one behind has caught up",
    });
  }

  #view(now: Reading): View {
    let [ahead, behind, lead, leader, rate, whole] = [0, 0, 0, this.#options.node, 0, true];
    let [slowest, fastest, age] = [0, 0, 0];
    for (const peer of this.#peers) {
      const found = peer.skew.estimate(now.countU64);
      if (found === undefined) {
        whole = false;
        continue;
      }
      const { low, high, slow, fast } = found;
      const steps = Number(signed(peer.advancedU64 - now.advancedU64));
      ahead = Math.max(ahead, high + steps);
      behind = Math.max(behind, -(low + steps));
      // While the step is made, this node may come nearer by itself.
      const sure = low + steps + Math.min(0, slow * secondsToStep * this.#second);
      if (sure > lead) [lead, leader] = [sure, peer.node];
      slowest = Math.min(slowest, slow);
      fastest = Math.max(fastest, fast);
      age = Math.max(age, Number(signed(now.countU64 - peer.asOfU64)));
      const middle = (slow + fast) / 2;
      if (Math.abs(middle) > Math.abs(rate)) rate = middle;
    }
    // A peer may have stepped since it answered, but only to where another one was, or this one;
    // from there it went on at its own rate.
    ahead += (fastest - slowest) * age;
    return { ahead, behind, lead, leader, rate, whole };
  }

  #look(now: Reading): void {
    if (signed(now.countU64 - this.#lookAtU64) < 0n) return;
    this.#lookAtU64 = now.countU64 + this.#ticks(secondsPerLook);
    const view = this.#view(now);
    this.#tell(now, view);
    if (now.advancedU64 !== this.#asked.fromU64) this.#steppedU64 = this.#asked.atU64;
    if (!this.#able || view.lead < secondsPerStepMin * this.#second) return;
    // Like NTP's slewing: nothing in the guest that measures a rate is to be misled.
    const since = Number(signed(now.countU64 - this.#steppedU64));
    const most = rateMax * Math.min(since, secondsPerStepMax * this.#second);
    const ticks = Math.floor(Math.min(view.lead, most));
    if (ticks <= 0) return;
    const { countU64: atU64, advancedU64: fromU64 } = now;
    this.#asked = { fromU64, ticks, atU64, untilU64: atU64 + this.#ticks(secondsToStep) };
    this.#effects.push({ kind: "advance", fromU64, ticksU64: BigInt(ticks) });
  }

  /** The first step at once, then a line for those of some time. */
  #tell(now: Reading, { leader }: View): void {
    const told = this.#told;
    if (now.advancedU64 !== told.seenU64) {
      told.steps += 1;
      told.seenU64 = now.advancedU64;
    }
    if (told.steps === 0 || signed(now.countU64 - this.#lineAtU64) < 0n) return;
    this.#lineAtU64 = now.countU64 + this.#ticks(secondsPerLine);
    const ticks = Number(now.advancedU64 - told.advancedU64);
    const report = this.report(now);
    const known =
      report === undefined
        ? ""
        : `; rates differ by ${(report.ratePpb / 1000).toFixed(1)} ppm, guest clocks agree ` +
          `within ${(report.boundNs / 1000).toFixed(0)} us`;
    const whose =
      leader === this.#options.node ? "the fastest" : nameOf(this.#options.names, leader);
    this.#effects.push({
      kind: "info",
      text:
        `the guest's clock was advanced by ${this.#us(ticks)} in ${told.steps} ` +
        `${told.steps === 1 ? "step" : "steps"} to follow ${whose}${known}`,
    });
    this.#told = { advancedU64: now.advancedU64, steps: 0, seenU64: now.advancedU64 };
  }

  #cannot(now: Reading): void {
    if (!this.#able) return;
    this.#able = false;
    this.#asked = { ...this.#asked, untilU64: now.countU64 - 1n };
    const { lead, leader } = this.#view(now);
    this.#effects.push({
      kind: "warn",
      text:
        `the guest's clock here is at least ${this.#us(lead)} behind that of ` +
        `${nameOf(this.#options.names, leader)} and cannot follow: KVM on this host changes no ` +
        "TSC offset; the guest may see its time go back between vCPUs",
    });
  }

  #us(ticks: number): string {
    return `${((ticks / this.#second) * 1e6).toFixed(1)} us`;
  }
}
