/**
 * @module One node as the others see it, as a pure state machine: the life of the cluster
 * (cluster.ts) over the channels to all peers (channel.ts), through all epochs. Datagrams, events
 * and the time go in; datagrams and what the host has to do come out.
 */

import { nameOf } from "./agreement.ts";
import { type Arrival, Channels, type Counters, type Endpoint } from "./channel.ts";
import {
  calmLimitMs,
  Cluster,
  type Effect,
  type Event,
  type Options,
  type Phase,
} from "./cluster.ts";
import type {
  ConsoleHold,
  ControlMessage,
  ForeignHello,
  InputBytes,
  InputTaken,
} from "./messages.ts";

/** Messages of the next epoch kept for a peer, more than it says before this node is there. */
export const earlyMax = 16;
/** Answers to strangers kept until they are polled; who gets none asks again. */
export const answersMax = 64;

export type MemberOptions = Omit<Options, "epoch"> & {
  /** Where the nodes are, in node order. */
  readonly endpoints: readonly Endpoint[];
  /** Random, of this process; its low half must not be 0. */
  readonly instanceU64: bigint;
};

export type HostEffect = Exclude<Effect, { readonly kind: "send" | "send-once" }>;
export type Outgoing = { readonly to: Endpoint; readonly datagram: Uint8Array };

export class Member {
  readonly #options: MemberOptions;
  readonly #channels: Channels;
  readonly #answers: Outgoing[] = [];
  #cluster: Cluster;
  #epoch = 1;
  /** Messages of the next epoch, from peers that are already there. */
  #early: { readonly from: number; readonly message: ControlMessage | ForeignHello }[] = [];
  /** An end that came between two epochs, for the next one. */
  #held: Extract<Event, { readonly kind: "end" }> | undefined;
  #between = false;
  /** Peers that are another process now than when this epoch was over. */
  readonly #returned = new Set<number>();
  /** Of the epoch that is over, once the others know that it is. */
  #restart: { readonly effect: HostEffect; readonly fromNsU64: bigint } | undefined;

  constructor(options: MemberOptions, nowNsU64: bigint) {
    this.#options = options;
    this.#channels = new Channels(options.node, options.endpoints, options.instanceU64);
    this.#cluster = new Cluster({ ...options, epoch: this.#epoch }, nowNsU64);
  }

  get phase(): Phase {
    return this.#cluster.phase;
  }

  /** Nothing that was sent to a peer is unacknowledged. */
  get idle(): boolean {
    return this.#channels.idle;
  }

  /** What became of the datagrams and messages of others. */
  get counters(): Readonly<Counters> {
    return this.#channels.counters;
  }

  /** The most that any peer makes this node keep, and answers to strangers. */
  get kept() {
    const early = this.#options.names.map((_, node) => this.#earlyOf(node));
    return { ...this.#channels.kept, early: Math.max(...early), answers: this.#answers.length };
  }

  step(event: Event, nowNsU64: bigint): readonly HostEffect[] {
    // What the guest that is over does no longer counts.
    const counts = event.kind === "end" && (event.cause === "signal" || event.cause === "failed");
    if (this.#between && counts) this.#held ??= event;
    const own = this.#carryOut(this.#cluster.step(event, nowNsU64), nowNsU64);
    const effects = [...own, ...this.#maybeRestart(nowNsU64)];
    if (event.kind !== "opened") return effects;
    return [...effects, ...this.#hearEarly(nowNsU64)];
  }

  /** After a `restart`: forgets the epoch before; greets once `opened` comes. */
  restart(epoch: number, nowNsU64: bigint): readonly HostEffect[] {
    this.#epoch = epoch;
    this.#between = false;
    this.#cluster = new Cluster({ ...this.#options, epoch }, nowNsU64);
    const held = this.#held;
    this.#held = undefined;
    const returned = [...this.#returned];
    this.#returned.clear();
    const events: Event[] = returned.map((from) => ({ kind: "restarted", from }));
    if (held !== undefined) events.push(held);
    const effects = events.flatMap((event) => this.step(event, nowNsU64));
    // An epoch that ends before it begins is never opened.
    return this.phase === "ending" ? [...effects, ...this.#hearEarly(nowNsU64)] : effects;
  }

  #hearEarly(nowNsU64: bigint): readonly HostEffect[] {
    const early = this.#early.splice(0);
    return early.flatMap(({ from, message }) => this.#message(from, message, nowNsU64));
  }

  receive(datagram: Uint8Array, from: Endpoint, nowNsU64: bigint): readonly HostEffect[] {
    const arrival = this.#channels.receive(datagram, from);
    switch (arrival.kind) {
      case "nothing":
        return [];
      case "version":
        return this.step(arrival, nowNsU64);
      case "stranger":
        if (this.#answers.length < answersMax) {
          this.#answers.push({ to: from, datagram: arrival.answer(this.#toStranger(from), 4) });
        }
        return [];
      case "heard":
        return this.#heard(arrival, nowNsU64);
      default:
        return arrival satisfies never;
    }
  }

  /** Frames on the way to a peer: console output waits while there are many. */
  waiting(to: number): number {
    return this.#channels.waiting(to);
  }

  /** Console and keys: what passes the life of the cluster by. */
  send(to: number, message: ControlMessage): void {
    this.#channels.send(to, message);
  }

  /** The same where a loss does not matter. */
  sendOnce(to: number, message: ControlMessage): void {
    this.#channels.sendOnce(to, message);
  }

  /** Datagrams to send now. */
  poll(nowNsU64: bigint): readonly Outgoing[] {
    return [...this.#answers.splice(0), ...this.#channels.poll(nowNsU64)];
  }

  #heard(arrival: Extract<Arrival, { kind: "heard" }>, nowNsU64: bigint): readonly HostEffect[] {
    const { from, restarted, messages } = arrival;
    if (restarted && this.#between) this.#returned.add(from);
    if (restarted) this.#early = this.#early.filter((entry) => entry.from !== from);
    const heard = this.step({ kind: restarted ? "restarted" : "heard", from }, nowNsU64);
    return [...heard, ...messages.flatMap((message) => this.#message(from, message, nowNsU64))];
  }

  #message(
    from: number,
    message: ControlMessage | ForeignHello,
    nowNsU64: bigint,
  ): readonly HostEffect[] {
    // Of the terminal, whatever the epoch: one that was lost would hold it or the guest for ever.
    if (this.#between && ofTerminal(message)) return [message];
    // Between two epochs nobody else listens; an end of the one before still ends the next.
    const next = "epoch" in message && message.epoch > this.#epoch;
    if (next || (this.#between && message.kind === "end")) {
      const soon = !("epoch" in message) || message.epoch <= this.#epoch + 1;
      if (soon && this.#earlyOf(from) < earlyMax) this.#early.push({ from, message });
      else this.#channels.counters.early += 1;
      return [];
    }
    return this.step({ kind: "message", from, message }, nowNsU64);
  }

  #earlyOf(node: number): number {
    return this.#early.filter(({ from }) => from === node).length;
  }

  #toStranger({ address, port }: Endpoint): string {
    const who = address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
    return (
      `${nameOf(this.#options.names, this.#options.node)} was not given ${who} in --peers: ` +
      "name the same nodes in the same order everywhere, " +
      "by address where a name has another one there"
    );
  }

  #carryOut(effects: readonly Effect[], nowNsU64: bigint): readonly HostEffect[] {
    return effects.filter((effect): effect is HostEffect => {
      if (effect.kind === "send") this.#channels.send(effect.to, effect.message);
      else if (effect.kind === "send-once") this.#channels.sendOnce(effect.to, effect.message);
      else if (effect.kind === "restart") {
        this.#between = true;
        this.#restart = { effect, fromNsU64: nowNsU64 };
      } else return true;
      return false;
    });
  }

  /**
   * A node that closes its data plane before the others know that it has stopped would be lost to
   * them: its port is closed. Who does not acknowledge for as long as one may be silent while no
   * guest runs is lost itself; for as long as while one runs, where the end is wanted meanwhile.
   */
  #maybeRestart(nowNsU64: bigint): readonly HostEffect[] {
    const restart = this.#restart;
    if (restart === undefined) return [];
    const { silenceMs } = this.#options;
    const limitMs = this.#held === undefined ? calmLimitMs(silenceMs) : silenceMs;
    const over = nowNsU64 - restart.fromNsU64 >= BigInt(limitMs) * 1_000_000n;
    if (!this.#channels.idle && !over) return [];
    this.#restart = undefined;
    return [restart.effect];
  }
}

function ofTerminal(
  message: ControlMessage | ForeignHello,
): message is ConsoleHold | InputBytes | InputTaken {
  return ["console-hold", "input", "input-taken"].includes(message.kind);
}
