/**
 * @module The daemon of one node: executes what the pure cluster machine decides, against the
 * socket, the data plane and the console.
 *
 * Long because every effect and every event of the data plane is answered here.
 */

import type { SlowDevice } from "../devices/scratch.ts";
import type { Endpoint } from "../protocol/channel.ts";
import type { Event } from "../protocol/cluster.ts";
import { Drift, type DriftEvent } from "../protocol/drift.ts";
import { ConsoleOutput } from "./output.ts";
import { SlowAccesses } from "./slow.ts";
import { type HostEffect, Member } from "../protocol/member.ts";
import type { ControlMessage, Hello } from "../protocol/messages.ts";
import type { Counters, DataEvent, DataPlane, NodePlan, TscReading } from "./dataplane.ts";
import { Questions } from "./questions.ts";
import type { GuestImages } from "../machine/images.ts";
import type { Agreement } from "../protocol/agreement.ts";
import type { CpuidEntry } from "./dataplane.ts";

const tickMs = 5;
const calmTickMs = 50;
/** In which every peer is asked for its TSC (protocol/drift.ts). */
const askedMs = 200;
/** Enough for several losses: who does not hear of the end takes the next closed port for it. */
const lingerMs = 400;
/** Keys kept for a guest that takes none. */
const inputBytesMax = 64 * 1024;
/** While so much is on its way to the console, output waits and gathers. */
const outputFramesMax = 64;

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
  readonly images: (agreement: Agreement, hellos: readonly Hello[]) => GuestImages;
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

export class Daemon {
  readonly #o: DaemonOptions;
  readonly #member: Member;
  readonly #outcome = Promise.withResolvers<Outcome>();
  readonly #input: Uint8Array[] = [];
  /** For the console, where that is another node. */
  readonly #output = new ConsoleOutput();
  #consoleHeld = false;
  /** What a debugger may ask. */
  readonly questions: Questions;
  readonly #slow: SlowAccesses;
  #epoch = 1;
  /** undefined until it is open, and between two epochs. */
  #dataPlane: DataPlane | undefined;
  /** The guest's TSC among the other nodes', while the VM runs. */
  #drift: Drift | undefined;
  #tscKhz = 0;
  /** When the last datagram came. */
  #arrival: TscReading | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #calm = false;
  #stopped = false;
  #over = false;

  constructor(options: DaemonOptions) {
    this.#o = options;
    this.#member = new Member(
      {
        node: options.node,
        names: options.peers.map((peer) => peer.name),
        endpoints: options.peers,
        instanceU64: newInstance(),
        build: options.build,
        silenceMs: options.silenceMs,
        joinMs: options.joinMs,
        cpuidOf: options.cpuidOf,
      },
      this.#o.nowNs(),
    );
    this.questions = new Questions({
      node: options.node,
      names: options.peers.map((peer) => peer.name),
      dataPlane: () => this.#dataPlane,
      vcpus: () => this.#vcpus,
      counters: () => this.counters(),
      send: (to, message) => this.#send(to, message),
    });
    this.#slow = new SlowAccesses({
      node: options.node,
      devices: options.devices,
      nowNs: options.nowNs,
      // Another node may run, and ask, a moment before this one does.
      alive: () => this.#member.phase !== "ending" && this.#member.phase !== "over",
      reply: (id, data) => this.#dataPlane?.ioReply(id, data),
      warn: (text) => options.log.warn(text),
      end: (reason) => this.#step({ kind: "end", cause: "failed", code: 7, reason }),
    });
  }

  /** Runs until the VM has ended. */
  run(): Promise<Outcome> {
    this.#open();
    this.#arm();
    return this.#outcome.promise;
  }

  /** A datagram from the socket. */
  receive(datagram: Uint8Array, from: Endpoint): void {
    this.#arrival = this.#tscNow();
    this.#execute(this.#member.receive(datagram, from, this.#o.nowNs()));
    this.#flush();
  }

  /** Keys for the guest. */
  input(bytes: Uint8Array): void {
    if (this.#o.deviceNode !== this.#o.node) {
      this.#send(this.#o.deviceNode, { kind: "input", bytes });
      return;
    }
    this.#keep(bytes);
  }

  #keep(bytes: Uint8Array): void {
    const waiting = this.#input.reduce((sum, each) => sum + each.length, 0);
    if (waiting + bytes.length > inputBytesMax) {
      return this.#o.log.debug(`${bytes.length} bytes of input dropped: the guest takes none`);
    }
    this.#input.push(bytes);
    this.#feed();
    this.#rouse();
  }

  /** The console takes output again. */
  consoleReady(): void {
    this.#holdConsole(false);
  }

  #holdConsole(hold: boolean): void {
    this.#consoleHeld = hold;
    this.#dataPlane?.holdConsole(hold);
  }

  /** Presses the guest's power button; the devices' node has it. */
  powerButton(): void {
    // Another node may run a moment before this one does.
    const { phase } = this.#member;
    if (phase !== "loading" && phase !== "running") return;
    if (this.#o.deviceNode === this.#o.node) this.#dataPlane?.powerButton();
    else this.#send(this.#o.deviceNode, { kind: "power" });
  }

  get node(): number {
    return this.#o.node;
  }

  /** Of both planes; the control plane's have its name before theirs. */
  counters(): Counters {
    const control = Object.entries(this.#member.counters).map(([name, value]) => {
      return [`control${name.slice(0, 1).toUpperCase()}${name.slice(1)}`, BigInt(value)] as const;
    });
    return { ...this.#dataPlane?.counters(), ...this.#clock(), ...Object.fromEntries(control) };
  }

  /** How far the guest's TSCs may be apart; nothing before that is known. */
  #clock(): Counters {
    const now = this.#tscNow();
    const report = now === undefined ? undefined : this.#drift?.report(now);
    if (report === undefined) return {};
    return { tscBoundNs: BigInt(report.boundNs), tscRatePpb: BigInt(report.ratePpb) };
  }

  /** Of each vCPU of this node as of its last exit; "" before there is a machine. */
  registers(): string {
    return this.#vcpus.map((vcpu) => this.#dataPlane?.registers(vcpu) ?? "").join("\n");
  }

  /** Ends the VM on all nodes, for a signal or the console's quit key. */
  end(code: number, reason: string): void {
    this.#step({ kind: "end", cause: "signal", code, reason });
  }

  /** undefined where nobody follows anybody: no guest runs. */
  #tscNow(): TscReading | undefined {
    return this.#drift === undefined ? undefined : this.#dataPlane?.tsc();
  }

  #follow(event: DriftEvent, now: TscReading | undefined): void {
    if (now === undefined) return;
    for (const effect of this.#drift?.step(event, now) ?? []) {
      switch (effect.kind) {
        case "send":
          this.#member.sendOnce(effect.to, effect.message);
          break;
        case "advance":
          // A step that was not made is asked for again, from what is known then.
          if (this.#dataPlane?.advanceTsc(effect.fromU64, effect.ticksU64) === "cannot") {
            this.#follow({ kind: "cannot" }, now);
          }
          break;
        case "info":
          this.#o.log.info(effect.text);
          break;
        case "warn":
          this.#o.log.warn(effect.text);
          break;
        default:
          effect satisfies never;
      }
    }
  }

  #step(event: Event): void {
    this.#execute(this.#member.step(event, this.#o.nowNs()));
  }

  /** The guest's vCPUs may share this thread's CPU: it wakes often only while there is a reason. */
  #arm(): void {
    this.#calm = this.#member.phase === "running" && this.#member.idle && this.#input.length === 0;
    const again = () => {
      this.#calm = false;
      this.#tick();
      this.#arm();
    };
    // Each tick asks one peer for its TSC.
    const calmMs = Math.max(tickMs, Math.min(calmTickMs, askedMs / this.#o.peers.length));
    this.#timer = setTimeout(again, this.#calm ? calmMs : tickMs);
  }

  /** There may be a reason now. */
  #rouse(): void {
    if (!this.#calm) return;
    clearTimeout(this.#timer);
    this.#arm();
  }

  #tick(): void {
    this.#step({ kind: "tick" });
    this.#follow({ kind: "tick" }, this.#tscNow());
    this.#slow.step({ kind: "tick" });
    this.#feed();
    if (this.#member.waiting(this.#o.consoleNode) < outputFramesMax) this.#sendOutput();
    this.#flush();
  }

  #printed(bytes: Uint8Array): void {
    const elsewhere = this.#o.consoleNode !== this.#o.node;
    const more = elsewhere ? this.#output.push(bytes) : this.#o.console(bytes);
    if (!more) this.#holdConsole(true);
  }

  #sendOutput(): void {
    if (this.#o.consoleNode === this.#o.node) return;
    if (this.#consoleHeld) this.#holdConsole(false);
    for (const bytes of this.#output.take()) {
      this.#send(this.#o.consoleNode, { kind: "console", bytes });
    }
  }

  #send(to: number, message: ControlMessage): void {
    this.#member.send(to, message);
    this.#flush();
    this.#rouse();
  }

  #flush(): void {
    for (const { to, datagram } of this.#member.poll(this.#o.nowNs())) this.#o.send(datagram, to);
  }

  #execute(effects: readonly HostEffect[]): void {
    for (const effect of effects) this.#one(effect);
    if (effects.length === 0) return;
    this.#flush();
    this.#rouse();
  }

  #one(effect: HostEffect): void {
    switch (effect.kind) {
      case "configure":
        return this.#configure(effect.agreement, effect.hellos);
      case "load":
        void this.#load();
        return;
      case "run":
        this.#o.log.info(
          `the VM runs; guest clocks agree within ${(Number(effect.boundNs) / 1000).toFixed(0)} us`,
        );
        return this.#try(() => this.#run(effect.tscZeroNsU64));
      case "tsc": {
        // An answer counts from when it came, a question is answered as late as can be: what is
        // between an answer's reading and its arrival is what a node stays behind by.
        const came = effect.message.kind === "tsc-pong" ? this.#arrival : undefined;
        const { from, message } = effect;
        return this.#follow({ kind: "message", from, message }, came ?? this.#tscNow());
      }
      case "stop":
        void this.#stop();
        return;
      case "console":
        // The device node does not hear that it is slow: what waits here has no bound.
        this.#o.console(effect.bytes);
        return;
      case "input":
        this.#keep(effect.bytes);
        return;
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
      const { dataPlane, hello } = this.#o.open(this.#epoch);
      this.#dataPlane = dataPlane;
      dataPlane.onEvent((event) => this.#onData(event));
      dataPlane.holdConsole(this.#consoleHeld);
      this.#step({ kind: "opened", hello });
    });
  }

  #run(tscZeroNsU64: bigint): void {
    this.#dataPlane?.run(tscZeroNsU64);
    const now = this.#dataPlane?.tsc();
    if (now === undefined) return;
    const names = this.#o.peers.map((peer) => peer.name);
    const options = { node: this.#o.node, names, epoch: this.#epoch, tscKhz: this.#tscKhz };
    this.#drift = new Drift(options, now);
  }

  #loading: (() => GuestImages) | undefined;
  /** This node's, by their number in the cluster, while there is a machine. */
  #vcpus: readonly number[] = [];

  #configure(agreement: Agreement, hellos: readonly Hello[]): void {
    this.#o.log.info(
      `agreed: ${hellos.length} nodes, ${hellos.reduce((sum, h) => sum + h.cpus, 0)} vCPUs, ` +
        `${hellos.reduce((sum, h) => sum + h.ramPages, 0) / 256} MiB`,
    );
    this.#loading = () => this.#o.images(agreement, hellos);
    this.#tscKhz = agreement.tscKhz;
    this.#try(() => {
      this.#dataPlane?.configure(this.#o.planOf(agreement, hellos));
      const before = hellos.slice(0, this.#o.node).reduce((sum, hello) => sum + hello.cpus, 0);
      const own = hellos[this.#o.node]?.cpus ?? 0;
      this.#vcpus = Array.from({ length: own }, (_, index) => before + index);
      this.#step({ kind: "configured" });
    });
  }

  async #load(): Promise<void> {
    try {
      if (this.#o.node === 0) {
        const images = this.#loading?.();
        const dataPlane = this.#dataPlane;
        if (images === undefined || dataPlane === undefined) throw new Error("nothing to load");
        for (const segment of images.segments) {
          await dataPlane.load(segment.gpaU64, segment.bytes);
        }
        dataPlane.boot(images.boot);
        if (images.commandLine !== "") {
          this.#o.log.info(`guest command line: ${images.commandLine}`);
        }
      }
      this.#step({ kind: "loaded" });
    } catch (error) {
      this.#failed(error);
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
      await this.#dataPlane?.stop();
      this.#stopped = true;
      this.#sendOutput();
      this.#step({ kind: "stopped" });
    } catch (error) {
      this.#o.log.error(error instanceof Error ? error.message : String(error));
    }
  }

  async #restart(epoch: number): Promise<void> {
    this.#o.log.info("the guest restarts");
    this.#vcpus = [];
    this.#drift = undefined;
    // Peers may still need an answer of this epoch's engine; all have stopped, so none does.
    await this.#close();
    this.#epoch = epoch;
    this.#stopped = false;
    this.#slow.restart();
    this.#execute(this.#member.restart(epoch, this.#o.nowNs()));
    // Unless the end came in between.
    if (this.#member.phase === "greeting") this.#open();
  }

  /** Whatever comes later, as a console that takes output again, finds no data plane. */
  async #close(): Promise<void> {
    const dataPlane = this.#dataPlane;
    this.#dataPlane = undefined;
    await dataPlane?.close();
  }

  async #finish(code: number, cause: string, reason: string): Promise<void> {
    if (this.#over) return;
    this.#over = true;
    this.#vcpus = [];
    this.#holdConsole(false);
    this.#sendOutput();
    const counters = this.counters();
    this.#drift = undefined;
    const limit = performance.now() + lingerMs;
    // What the others must still hear, and the acknowledgements they wait for.
    while (performance.now() < limit && !this.#member.idle) {
      this.#flush();
      await Bun.sleep(tickMs);
    }
    this.#flush();
    clearTimeout(this.#timer);
    if (this.#stopped) await this.#close();
    this.#outcome.resolve({ code, cause, reason, counters, clean: this.#stopped });
  }

  #feed(): void {
    if (this.#member.phase !== "running") return;
    for (let next = this.#input[0]; next !== undefined; next = this.#input[0]) {
      const taken = this.#dataPlane?.consoleInput(next) ?? 0;
      if (taken < next.length) {
        this.#input[0] = next.subarray(taken);
        return;
      }
      this.#input.shift();
    }
  }

  #onData(event: DataEvent): void {
    const end = (
      cause: "poweroff" | "reset" | "verdict" | "crash" | "failed",
      code: number,
      reason: string,
    ) => {
      this.#sendOutput();
      this.#step({ kind: "end", cause, code, reason });
    };
    switch (event.kind) {
      case "console":
        return this.#printed(event.bytes);
      case "poweroff":
        return end("poweroff", 0, "the guest powered off");
      case "reset":
        return end("reset", 0, "the guest reset the machine");
      case "debug-exit":
        return end("verdict", event.code === 0 ? 0 : 1, `the guest ended with ${event.code}`);
      case "crash":
        return end("crash", 6, `vCPU ${event.vcpu} on node ${this.#o.node}: ${event.reason}`);
      case "engine-error":
        return end("failed", 7, `the memory engine stopped: ${event.reason}`);
      case "disk":
        return this.#o.log.warn(`disk ${event.disk}: ${event.reason}`);
      case "peer-refused":
        return this.#step({ kind: "lost", node: event.node, how: "its port is closed" });
      case "peer-silent":
        return this.#step({
          kind: "lost",
          node: event.node,
          how: event.heard
            ? `its engine was silent for ${this.#o.silenceMs} ms`
            : "its engine was never heard, let all UDP between the nodes pass and not only the " +
              "port of --peers",
        });
      case "io":
        return this.#slow.step({ ...event, kind: "access", access: event });
      case "debug-stop":
        return this.questions.debugStop(event.vcpu, event.ripU64);
      case "answer":
      case "loaded":
      case "stopped":
        return;
      default:
        event satisfies never;
    }
  }
}

/** Random; the low half must not be 0. */
function newInstance(): bigint {
  const [value = 1n] = crypto.getRandomValues(new BigUint64Array(1));
  return value | 1n;
}
