/**
 * @module The daemon of one node: executes what the pure cluster machine decides, against the
 * socket, the data plane and the console.
 *
 * Long because every effect and every event of the data plane is answered here.
 */

import { nameOf } from "../protocol/agreement.ts";
import type { Endpoint } from "../protocol/channel.ts";
import type { Event } from "../protocol/cluster.ts";
import { type HostEffect, Member } from "../protocol/member.ts";
import type { ControlMessage } from "../protocol/messages.ts";
import { causeOf } from "./causes.ts";
import { GuestConsole } from "./console.ts";
import type { Counters, DataEvent } from "./dataplane.ts";
import { TscFollower } from "./follow.ts";
import { NodeMachine } from "./machine.ts";
import type { DaemonOptions, Outcome } from "./options.ts";
import { Pace, tickMs } from "./pace.ts";
import { Questions } from "./questions.ts";
import { SlowAccesses } from "./slow.ts";

/** Enough for several losses: who does not hear of the end takes the next closed port for it. */
const lingerMs = 400;

export class Daemon {
  readonly #o: DaemonOptions;
  readonly #member: Member;
  readonly #outcome = Promise.withResolvers<Outcome>();
  readonly #machine: NodeMachine;
  readonly #pace: Pace;
  readonly #console: GuestConsole;
  readonly #tsc: TscFollower;
  /** Called after `input` has said no: more is welcome again. */
  onInputReady: () => void = () => {};
  /** What a debugger may ask. */
  readonly questions: Questions;
  readonly #slow: SlowAccesses;
  #epoch = 1;
  #stopped = false;
  #over = false;
  #ran = false;

  constructor(options: DaemonOptions) {
    this.#o = options;
    const { node, deviceNode, consoleNode, open, planOf, images, log } = options;
    const names = options.peers.map((peer) => peer.name);
    const info = (text: string) => log.info(text);
    const warn = (text: string) => log.warn(text);
    const dataPlane = () => this.#machine.dataPlane;
    const send = (to: number, message: ControlMessage) => this.#send(to, message);
    this.#member = memberOf(options);
    this.#machine = new NodeMachine({ node, names, open, planOf, images, info, warn });
    this.#pace = new Pace({
      nodes: names.length,
      calm: () => this.#running && this.#member.idle && this.#console.idle,
      tick: () => this.#tick(),
    });
    this.#console = new GuestConsole({
      node,
      deviceNode,
      consoleNode,
      dataPlane,
      running: () => this.#running,
      waiting: (to) => this.#member.waiting(to),
      send,
      print: options.console,
      typeOn: () => this.onInputReady(),
      rouse: () => this.#pace.rouse(),
      debug: (text) => log.debug(text),
    });
    this.#tsc = new TscFollower({
      node,
      names,
      dataPlane,
      sendOnce: (to, message) => this.#member.sendOnce(to, message),
      info,
      warn,
    });
    this.questions = new Questions({
      node,
      names,
      dataPlane,
      vcpus: () => this.#machine.vcpus,
      counters: () => this.counters(),
      waiting: (to) => this.#member.waiting(to),
      send,
    });
    this.#slow = new SlowAccesses({
      node,
      devices: options.devices,
      nowNs: options.nowNs,
      // Another node may run, and ask, a moment before this one does.
      alive: () => this.#member.phase !== "ending" && this.#member.phase !== "over",
      reply: (id, data) => this.#machine.dataPlane?.ioReply(id, data),
      warn,
      end: (reason) => this.#step({ kind: "end", cause: "failed", code: 7, reason }),
    });
  }

  /** Runs until the VM has ended. */
  run(): Promise<Outcome> {
    this.#open();
    this.#pace.start();
    return this.#outcome.promise;
  }

  /** A datagram from the socket. */
  receive(datagram: Uint8Array, from: Endpoint): void {
    this.#tsc.arrived();
    this.#execute(this.#member.receive(datagram, from, this.#o.nowNs()));
    this.#flush();
  }

  /** Keys for the guest. @returns false: no more, please, until `onInputReady` is called. */
  input(bytes: Uint8Array): boolean {
    return this.#console.typed(bytes);
  }

  /** The console takes output again. */
  consoleReady(): void {
    this.#console.ready();
  }

  /** Presses the guest's power button; the devices' node has it. */
  powerButton(): void {
    // Another node may run a moment before this one does.
    const { phase } = this.#member;
    if (phase !== "loading" && phase !== "running") return;
    if (this.#o.deviceNode === this.#o.node) this.#machine.dataPlane?.powerButton();
    else this.#send(this.#o.deviceNode, { kind: "power" });
  }

  get #running(): boolean {
    return this.#member.phase === "running";
  }

  /** There is, or was, a guest. */
  get ran(): boolean {
    return this.#ran;
  }

  get node(): number {
    return this.#o.node;
  }

  /** Of both planes; the control plane's have its name before theirs. */
  counters(): Counters {
    const control = Object.entries(this.#member.counters).map(([name, value]) => {
      return [`control${name.slice(0, 1).toUpperCase()}${name.slice(1)}`, BigInt(value)] as const;
    });
    return {
      ...this.#machine.dataPlane?.counters(),
      ...this.#tsc.counters(),
      ...Object.fromEntries(control),
    };
  }

  /** Of each vCPU of this node as of its last exit; "" before there is a machine. */
  registers(): string {
    return this.#machine.registers();
  }

  /** Ends the VM on all nodes, for a signal or the console's quit key. */
  end(code: number, reason: string): void {
    this.#step({ kind: "end", cause: "signal", code, reason });
  }

  #step(event: Event): void {
    this.#execute(this.#member.step(event, this.#o.nowNs()));
  }

  #tick(): void {
    this.#step({ kind: "tick" });
    this.#tsc.tick();
    this.#slow.step({ kind: "tick" });
    this.#console.tick();
    this.#flush();
  }

  #send(to: number, message: ControlMessage): void {
    this.#member.send(to, message);
    this.#flush();
    this.#pace.rouse();
  }

  #flush(): void {
    for (const { to, datagram } of this.#member.poll(this.#o.nowNs())) this.#o.send(datagram, to);
  }

  #execute(effects: readonly HostEffect[]): void {
    for (const effect of effects) this.#one(effect);
    if (effects.length === 0) return;
    this.#flush();
    this.#pace.rouse();
  }

  #one(effect: HostEffect): void {
    switch (effect.kind) {
      case "configure":
        return this.#try(() => {
          this.#machine.configure(effect.agreement, effect.hellos);
          this.#step({ kind: "configured" });
        });
      case "load":
        void this.#load();
        return;
      case "run":
        this.#o.log.info(`the VM runs${clockText(effect.boundNs)}`);
        return this.#try(() => this.#run(effect.tscZeroNsU64));
      case "tsc":
        return this.#tsc.message(effect.from, effect.message);
      case "stop":
        void this.#stop();
        return;
      case "console":
        return this.#console.arrived(effect.bytes);
      case "console-hold":
        return this.#console.holdThere(effect.hold);
      case "input":
        return this.#console.keep(effect.bytes);
      case "input-taken":
        return this.#console.taken();
      case "power":
        return this.powerButton();
      case "ask":
        void this.questions.asked(effect.from, effect.id, effect.text);
        return;
      case "answer":
        return this.questions.answered(effect.from, effect.id, effect.text);
      case "greeted":
        return this.#o.log.info(`${effect.name} greets`);
      case "restart":
        void this.#restart(effect.epoch);
        return;
      case "finish":
        void this.#finish(effect.code, effect.cause, effect.reason);
        return;
      default:
        effect satisfies never;
    }
  }

  /** Opens the data plane of this epoch and greets; the others hear of a failure. */
  #open(): void {
    this.#try(() => {
      const { dataPlane, hello } = this.#machine.open(this.#epoch);
      dataPlane.onEvent((event) => this.#onData(event));
      this.#console.opened();
      this.#step({ kind: "opened", hello });
    });
  }

  #run(tscZeroNsU64: bigint): void {
    this.#ran = true;
    this.#machine.dataPlane?.run(tscZeroNsU64);
    this.#tsc.start(this.#epoch, this.#machine.tscKhz);
  }

  async #load(): Promise<void> {
    try {
      if (this.#o.node === 0) await this.#machine.load();
      this.#step({ kind: "loaded" });
    } catch (error) {
      // When the VM ends meanwhile, nothing more is taken into its memory.
      if (this.#member.phase === "loading") this.#failed(error);
    }
  }

  #try(action: () => void): void {
    try {
      action();
    } catch (error) {
      this.#failed(error);
    }
  }

  #failed(error: unknown): void {
    const { code, message } = this.#o.explain(error);
    this.#step({ kind: "end", cause: "failed", code, reason: message });
  }

  async #stop(): Promise<void> {
    try {
      await this.#machine.dataPlane?.stop();
      this.#stopped = true;
      this.#console.sendOutput();
      this.#step({ kind: "stopped" });
    } catch (error) {
      this.#o.log.error(error instanceof Error ? error.message : String(error));
    }
  }

  async #restart(epoch: number): Promise<void> {
    this.#o.log.info("the guest restarts");
    this.#machine.forget();
    this.#tsc.stop();
    // Peers may still need an answer of this epoch's engine; all have stopped, so none does.
    await this.#machine.close();
    this.#epoch = epoch;
    this.#stopped = false;
    this.#slow.restart();
    this.#execute(this.#member.restart(epoch, this.#o.nowNs()));
    // Unless the end came in between.
    if (this.#member.phase === "greeting") this.#open();
  }

  async #finish(code: number, cause: string, reason: string): Promise<void> {
    if (this.#over) return;
    this.#over = true;
    this.#machine.forget();
    this.#console.hold(false);
    this.#console.sendOutput();
    const counters = this.counters();
    this.#tsc.stop();
    const limit = performance.now() + lingerMs;
    // What the others must still hear, and the acknowledgements they wait for.
    while (performance.now() < limit && !this.#member.idle) {
      this.#flush();
      await Bun.sleep(tickMs);
    }
    this.#flush();
    this.#pace.stop();
    if (this.#stopped) await this.#machine.close();
    this.#outcome.resolve({ code, cause, reason, counters, clean: this.#stopped });
  }

  #onData(event: DataEvent): void {
    switch (event.kind) {
      case "console":
        return this.#console.printed(event.bytes);
      case "disk":
        return this.#o.log.warn(`disk ${event.disk}: ${event.reason}`);
      case "narrowed":
        return this.#o.log.warn(narrowText(this.#o, event.node, event.bytes));
      case "io":
        return this.#slow.step({ ...event, kind: "access", access: event });
      case "debug-stop":
        // Of a machine that ends nobody is held any more: its vCPUs are on their way out.
        if (!this.#running) return;
        return this.questions.debugStop(event.vcpu, event.ripU64, event.dr6U64);
      case "answer":
      case "loaded":
      case "stopped":
        return;
      default: {
        const cause = causeOf(event, this.#o.node);
        if (cause.kind === "end") this.#console.sendOutput();
        return this.#step(cause);
      }
    }
  }
}

function narrowText({ peers }: DaemonOptions, node: number, bytes: number): string {
  const names = peers.map((peer) => peer.name);
  return (
    `${nameOf(names, node)} gets no datagrams of ${bytes} bytes, only small ones, which are ` +
    "slower: let both hosts and all between them have one MTU (giantvm doctor --peers)"
  );
}

/** Node 0's clock is the one that the others follow. */
function clockText(boundNs: bigint | undefined): string {
  if (boundNs === undefined) return "";
  const us = (Number(boundNs) / 1000).toFixed(0);
  return `; its guest clock agrees with node 0's within ${us} us`;
}

function memberOf(options: DaemonOptions): Member {
  const { node, peers, build, silenceMs, joinMs, cpuidOf } = options;
  const names = peers.map((peer) => peer.name);
  const instanceU64 = newInstance();
  return new Member(
    { node, names, endpoints: peers, instanceU64, build, silenceMs, joinMs, cpuidOf },
    options.nowNs(),
  );
}

/** Random; the low half must not be 0. */
function newInstance(): bigint {
  const [value = 1n] = crypto.getRandomValues(new BigUint64Array(1));
  return value | 1n;
}
