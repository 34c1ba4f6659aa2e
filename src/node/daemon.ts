/**
 * @module The daemon of one node: executes what the pure cluster machine decides, against the
 * socket, the data plane and the console.
 *
 * Long because every effect and every event of the data plane is answered here.
 */

import type { SlowDevice } from "../devices/scratch.ts";
import { decode, encode } from "../protocol/cbor.ts";
import { Cluster, type Effect, type Event } from "../protocol/cluster.ts";
import { type Event as ForwardEvent, Forwarder } from "../protocol/forward.ts";
import { headerBytes, readHeader, writeHeader } from "../protocol/header.ts";
import { type ControlMessage, fromWire, type Hello, toWire } from "../protocol/messages.ts";
import { ReliableLink } from "../protocol/reliable.ts";
import type { Counters, DataEvent, DataPlane, NodePlan } from "./dataplane.ts";
import type { GuestImages } from "../machine/images.ts";
import type { Agreement } from "../protocol/agreement.ts";
import type { CpuidEntry } from "./dataplane.ts";

const tickMs = 5;
const lingerMs = 400;
const lostLingerMs = 150;

export type Peer = { readonly name: string; readonly address: string; readonly port: number };

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
  readonly silenceMs: number;
  readonly joinMs: number;
  readonly deviceNode: number;
  readonly consoleNode: number;
  /** All slow devices of the VM; this node executes those placed on it. */
  readonly devices: readonly SlowDevice[];
  /** A new data plane and this node's Hello for an epoch. */
  readonly open: (epoch: number) => { readonly dataPlane: DataPlane; readonly hello: Hello };
  readonly cpuidOf: (hellos: readonly Hello[]) => readonly CpuidEntry[];
  readonly planOf: (agreement: Agreement, hellos: readonly Hello[]) => NodePlan;
  /** What the guest starts with; asked on node 0 only. */
  readonly images: (agreement: Agreement, hellos: readonly Hello[]) => GuestImages;
  /** The exit code and the sentence for what the data plane threw. */
  readonly explain: (error: unknown) => { readonly code: number; readonly message: string };
  readonly send: (bytes: Uint8Array, to: Peer) => void;
  readonly console: (bytes: Uint8Array) => void;
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
  readonly #links: ReliableLink[];
  readonly #outcome = Promise.withResolvers<Outcome>();
  readonly #input: Uint8Array[] = [];
  /** Slow devices outlive a reset, accesses to them do not. */
  #forwarder: Forwarder;
  #packet = 1n;
  #epoch = 1;
  #dataPlane: DataPlane;
  #cluster: Cluster;
  #timer: ReturnType<typeof setInterval> | undefined;
  #stopped = false;
  #over = false;
  /** Messages of the next epoch, from peers that are already there. */
  readonly #early: { readonly from: number; readonly message: ControlMessage }[] = [];

  constructor(options: DaemonOptions) {
    this.#o = options;
    this.#links = options.peers.map(() => new ReliableLink());
    const { dataPlane, hello } = options.open(this.#epoch);
    this.#dataPlane = dataPlane;
    this.#cluster = this.#newCluster(hello);
    this.#forwarder = this.#newForwarder();
  }

  /** Runs until the VM has ended. */
  run(): Promise<Outcome> {
    this.#dataPlane.onEvent((event) => this.#onData(event));
    this.#execute(this.#cluster.begin());
    this.#timer = setInterval(() => this.#tick(), tickMs);
    return this.#outcome.promise;
  }

  /** A datagram from the socket. */
  receive(datagram: Uint8Array, port: number, address: string): void {
    const header = readHeader(datagram);
    if (header === undefined || header.destination !== this.#o.node) return;
    const peer = this.#o.peers[header.source];
    const link = this.#links[header.source];
    if (peer === undefined || link === undefined || header.source === this.#o.node) return;
    if (peer.port !== port || peer.address !== address) return;
    const received = link.receive(datagram.subarray(headerBytes));
    if (!received.understood) return;
    this.#step({ kind: "heard", from: header.source });
    for (const bytes of received.messages) this.#onMessage(header.source, bytes);
    this.#flush();
  }

  /** Keys for the guest. */
  input(bytes: Uint8Array): void {
    if (this.#o.deviceNode !== this.#o.node) {
      this.#send(this.#o.deviceNode, { kind: "input", bytes });
      return;
    }
    this.#input.push(bytes);
    this.#feed();
  }

  /** Presses the guest's power button; the devices' node has it. */
  powerButton(): void {
    const here = this.#o.deviceNode === this.#o.node && this.#cluster.phase === "running";
    if (here) this.#dataPlane.powerButton();
  }

  get node(): number {
    return this.#o.node;
  }

  counters(): Readonly<Record<string, number>> {
    const entries = Object.entries(this.#dataPlane.counters());
    return Object.fromEntries(entries.map(([name, value]) => [name, Number(value)]));
  }

  /** Ends the VM on all nodes, for a signal or the console's quit key. */
  end(code: number, reason: string): void {
    this.#step({ kind: "end", cause: "signal", code, reason });
  }

  #newCluster(hello: Hello): Cluster {
    return new Cluster(
      {
        node: this.#o.node,
        names: this.#o.peers.map((peer) => peer.name),
        silenceMs: this.#o.silenceMs,
        joinMs: this.#o.joinMs,
        cpuidOf: this.#o.cpuidOf,
      },
      hello,
      now(),
    );
  }

  #newForwarder(): Forwarder {
    const places = this.#o.devices.map((device) => device.place);
    return new Forwarder(this.#o.node, places);
  }

  #forward(forwarder: Forwarder, event: ForwardEvent): void {
    // What a device answers to an access of the epoch before is nobody's.
    const { phase } = this.#cluster;
    // Another node may run, and ask, a moment before this one does.
    if (forwarder !== this.#forwarder || phase === "ending" || phase === "over") return;
    for (const effect of forwarder.step(event, now())) {
      switch (effect.kind) {
        case "execute": {
          const { ticket } = effect;
          const device = this.#o.devices.find(({ place }) => place.name === effect.device);
          void (async () => device?.access(effect.access) ?? new Uint8Array())().then(
            (data) => this.#forward(forwarder, { kind: "answered", ticket, data }),
            (error: unknown) => {
              const reason = error instanceof Error ? error.message : String(error);
              this.#forward(forwarder, { kind: "failed", ticket, reason });
            },
          );
          break;
        }
        case "reply":
          this.#dataPlane.ioReply(effect.id, effect.data);
          break;
        case "warn":
          this.#o.log.warn(effect.text);
          break;
        case "end":
          this.#step({ kind: "end", cause: "failed", code: 7, reason: effect.reason });
          break;
        default:
          effect satisfies never;
      }
    }
  }

  #onMessage(from: number, bytes: Uint8Array): void {
    let message: ControlMessage | undefined;
    try {
      message = fromWire(decode(bytes));
    } catch {
      message = undefined;
    }
    if (message === undefined) return this.#o.log.debug(`unreadable message of node ${from}`);
    if ("epoch" in message && message.epoch > this.#epoch) {
      this.#early.push({ from, message });
      return;
    }
    this.#step({ kind: "message", from, message });
  }

  #step(event: Event): void {
    this.#execute(this.#cluster.step(event, now()));
  }

  #tick(): void {
    this.#step({ kind: "tick" });
    this.#forward(this.#forwarder, { kind: "tick" });
    this.#feed();
    this.#flush();
  }

  #send(to: number, message: ControlMessage): void {
    this.#links[to]?.send(encode(toWire(message)));
    this.#flush();
  }

  #flush(): void {
    for (const [index, link] of this.#links.entries()) {
      const peer = this.#o.peers[index];
      if (peer === undefined || index === this.#o.node) continue;
      for (const body of link.poll(now())) {
        const datagram = new Uint8Array(headerBytes + body.length);
        writeHeader(
          { epoch: 0, source: this.#o.node, destination: index, packetU64: this.#packet },
          datagram,
        );
        this.#packet += 1n;
        datagram.set(body, headerBytes);
        this.#o.send(datagram, peer);
      }
    }
  }

  #execute(effects: readonly Effect[]): void {
    for (const effect of effects) this.#one(effect);
    if (effects.length > 0) this.#flush();
  }

  #one(effect: Effect): void {
    switch (effect.kind) {
      case "send":
        this.#links[effect.to]?.send(encode(toWire(effect.message)));
        return;
      case "send-once":
        this.#links[effect.to]?.sendOnce(encode(toWire(effect.message)));
        return;
      case "configure":
        return this.#configure(effect.agreement, effect.hellos);
      case "load":
        void this.#load();
        return;
      case "run":
        this.#o.log.info(
          `the VM runs; guest clocks agree within ${(Number(effect.boundNs) / 1000).toFixed(0)} us`,
        );
        return this.#try(() => this.#dataPlane.run(effect.tscZeroNsU64));
      case "stop":
        void this.#stop();
        return;
      case "console":
        this.#o.console(effect.bytes);
        return;
      case "input":
        this.#input.push(effect.bytes);
        this.#feed();
        return;
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

  #loading: (() => GuestImages) | undefined;

  #configure(agreement: Agreement, hellos: readonly Hello[]): void {
    this.#o.log.info(
      `agreed: ${hellos.length} nodes, ${hellos.reduce((sum, h) => sum + h.cpus, 0)} vCPUs, ` +
        `${hellos.reduce((sum, h) => sum + h.ramPages, 0) / 256} MiB`,
    );
    this.#loading = () => this.#o.images(agreement, hellos);
    this.#try(() => {
      this.#dataPlane.configure(this.#o.planOf(agreement, hellos));
      this.#step({ kind: "configured" });
    });
  }

  async #load(): Promise<void> {
    try {
      if (this.#o.node === 0) {
        const images = this.#loading?.();
        if (images === undefined) throw new Error("nothing to load");
        for (const segment of images.segments) {
          await this.#dataPlane.load(segment.gpaU64, segment.bytes);
        }
        this.#dataPlane.boot(images.boot);
        this.#o.log.debug(`guest command line: ${images.commandLine}`);
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
      await this.#dataPlane.stop();
      this.#stopped = true;
      this.#step({ kind: "stopped" });
    } catch (error) {
      this.#o.log.error(error instanceof Error ? error.message : String(error));
    }
  }

  async #restart(epoch: number): Promise<void> {
    this.#o.log.info("the guest restarts");
    // Peers may still need an answer of this epoch's engine; all have stopped, so none does.
    await this.#dataPlane.close();
    this.#epoch = epoch;
    this.#stopped = false;
    this.#try(() => {
      const { dataPlane, hello } = this.#o.open(epoch);
      this.#dataPlane = dataPlane;
      dataPlane.onEvent((event) => this.#onData(event));
      this.#cluster = this.#newCluster(hello);
      this.#forwarder = this.#newForwarder();
      this.#execute(this.#cluster.begin());
      for (const { from, message } of this.#early.splice(0)) {
        this.#step({ kind: "message", from, message });
      }
    });
  }

  async #finish(code: number, cause: string, reason: string): Promise<void> {
    if (this.#over) return;
    this.#over = true;
    const counters = this.#dataPlane.counters();
    const limit = performance.now() + (cause === "lost" ? lostLingerMs : lingerMs);
    // What the others must still hear, and the acknowledgements they wait for.
    while (performance.now() < limit && !this.#links.every((link) => link.idle)) {
      this.#flush();
      await Bun.sleep(tickMs);
    }
    this.#flush();
    clearInterval(this.#timer);
    if (this.#stopped) await this.#dataPlane.close();
    this.#outcome.resolve({ code, cause, reason, counters, clean: this.#stopped });
  }

  #feed(): void {
    if (this.#cluster.phase !== "running") return;
    for (let next = this.#input[0]; next !== undefined; next = this.#input[0]) {
      const taken = this.#dataPlane.consoleInput(next);
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
    ) => this.#step({ kind: "end", cause, code, reason });
    switch (event.kind) {
      case "console":
        if (this.#o.consoleNode === this.#o.node) this.#o.console(event.bytes);
        else this.#send(this.#o.consoleNode, { kind: "console", bytes: event.bytes });
        return;
      case "poweroff":
        return end("poweroff", 0, "the guest powered off");
      case "reset":
        return end("reset", 0, "the guest reset the machine");
      case "debug-exit":
        return end("verdict", event.code === 0 ? 0 : 1, `the guest ended with ${event.code}`);
      case "crash":
        return end("crash", 6, `vCPU ${event.vcpu} on node ${this.#o.node}: ${event.reason}`);
      case "engine-error":
        return end(
          "failed",
          7,
          `the memory engine of node ${this.#o.node} stopped: ${event.reason}`,
        );
      case "peer-refused":
        return this.#step({ kind: "lost", node: event.node, how: "its port is closed" });
      case "peer-silent":
        return this.#step({
          kind: "lost",
          node: event.node,
          how: `its engine was silent for ${this.#o.silenceMs} ms`,
        });
      case "io":
        return this.#forward(this.#forwarder, { ...event, kind: "access", access: event });
      case "loaded":
      case "stopped":
        return;
      default:
        event satisfies never;
    }
  }
}

/** CLOCK_MONOTONIC in nanoseconds, as the data plane counts it. */
function now(): bigint {
  return process.hrtime.bigint();
}
