/**
 * @module The guest's console at this node. Its serial port is on the device node and its terminal
 * on the console node; keys go the one way, what the guest prints goes the other, who cannot take
 * more holds the guest, and a guest that takes no more holds who types.
 */

import type { ControlMessage } from "../protocol/messages.ts";
import type { DataPlane } from "./dataplane.ts";
import { ConsoleInput } from "./input.ts";
import { ConsoleOutput } from "./output.ts";

/** While so much is on its way to the console, output waits and gathers. */
const outputFramesMax = 64;
/** Of keys on their way to the device node: the next leave when the guest has taken these. */
const keysBytesMax = 16 * 1024;

export type ConsoleOptions = {
  readonly node: number;
  readonly deviceNode: number;
  readonly consoleNode: number;
  /** undefined until it is open, and between two epochs. */
  readonly dataPlane: () => Pick<DataPlane, "consoleInput" | "holdConsole"> | undefined;
  /** Whether the guest runs, so that it may take keys. */
  readonly running: () => boolean;
  /** Frames on the way to a node. */
  readonly waiting: (to: number) => number;
  readonly send: (to: number, message: ControlMessage) => void;
  /** The terminal of this node; false: no more, please, until `ready`. */
  readonly print: (bytes: Uint8Array) => boolean;
  /** `typed` had said no: more keys are welcome again. */
  readonly typeOn: () => void;
  /** Keys wait now: the guest is to be offered them again soon. */
  readonly rouse: () => void;
  readonly debug: (text: string) => void;
};

export class GuestConsole {
  readonly #o: ConsoleOptions;
  readonly #input = new ConsoleInput();
  /** For the console, where that is another node. */
  readonly #output = new ConsoleOutput();
  #held = false;
  /** The terminal takes no more: of the console node, as this node or that one says. */
  #full = false;
  /** Keys are on their way to the device node, or wait for the guest there. */
  #passed = false;
  /** The console node waits to hear that the guest has taken its keys. */
  #owes = false;
  /** Who types was told to pause. */
  #pauses = false;

  constructor(options: ConsoleOptions) {
    this.#o = options;
  }

  /** No keys wait that a tick may bring to the guest. */
  get idle(): boolean {
    return this.#input.empty || this.#passed;
  }

  /** Keys typed at this node. @returns false: no more until `typeOn`, they would be dropped. */
  typed(bytes: Uint8Array): boolean {
    this.#push(bytes);
    this.#pauses = this.#input.full;
    return !this.#pauses;
  }

  /** Keys for the guest's serial port, which is here, from the console node. */
  keep(bytes: Uint8Array): void {
    this.#owes = this.#o.consoleNode !== this.#o.node;
    this.#push(bytes);
  }

  /** The guest has taken the keys that went to the device node. */
  taken(): void {
    this.#passed = false;
    this.#feed();
  }

  tick(): void {
    this.#feed();
    if (!this.#full && this.#o.waiting(this.#o.consoleNode) < outputFramesMax) this.sendOutput();
  }

  /** What the guest printed, at the device node. */
  printed(bytes: Uint8Array): void {
    const elsewhere = this.#o.consoleNode !== this.#o.node;
    const more = elsewhere ? this.#output.push(bytes) : this.#o.print(bytes);
    if (!more) this.hold(true);
  }

  /** What the guest printed, at the console node, from the device node. */
  arrived(bytes: Uint8Array): void {
    if (this.#o.print(bytes) || this.#full) return;
    this.#full = true;
    this.#o.send(this.#o.deviceNode, { kind: "console-hold", hold: true });
  }

  /** The terminal of this node takes output again. */
  ready(): void {
    if (this.#o.deviceNode === this.#o.node) return this.hold(false);
    this.#full = false;
    this.#o.send(this.#o.deviceNode, { kind: "console-hold", hold: false });
  }

  /** The console node's terminal takes no more, or again: output waits here, within a bound. */
  holdThere(hold: boolean): void {
    this.#full = hold;
  }

  /** To the console node, all that waits, however much is on the way. */
  sendOutput(): void {
    if (this.#o.consoleNode === this.#o.node) return;
    if (this.#held) this.hold(false);
    for (const bytes of this.#output.take()) {
      this.#o.send(this.#o.consoleNode, { kind: "console", bytes });
    }
  }

  /** Whether output is left with the data plane, where it slows the guest. */
  hold(hold: boolean): void {
    this.#held = hold;
    this.#o.dataPlane()?.holdConsole(hold);
  }

  /** The data plane is a new one: it hears what the one before was told. */
  opened(): void {
    this.hold(this.#held);
  }

  #push(bytes: Uint8Array): void {
    if (!this.#input.push(bytes)) {
      return this.#o.debug(`${bytes.length} bytes of input dropped: the guest takes none`);
    }
    this.#feed();
    this.#o.rouse();
  }

  #feed(): void {
    if (!this.#o.running()) return;
    if (this.#o.deviceNode !== this.#o.node) this.#input.feed((bytes) => this.#pass(bytes));
    else this.#input.feed((bytes) => this.#o.dataPlane()?.consoleInput(bytes) ?? 0);
    if (this.#owes && this.#input.empty) {
      this.#owes = false;
      this.#o.send(this.#o.consoleNode, { kind: "input-taken" });
    }
    if (this.#pauses && !this.#input.full) {
      this.#pauses = false;
      this.#o.typeOn();
    }
  }

  /** To the device node, unless it still has some. */
  #pass(bytes: Uint8Array): number {
    if (this.#passed) return 0;
    this.#passed = true;
    const keys = bytes.subarray(0, keysBytesMax);
    this.#o.send(this.#o.deviceNode, { kind: "input", bytes: keys });
    return keys.length;
  }
}
