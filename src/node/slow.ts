/**
 * @module Accesses to this node's slow devices, carried out: the forwarder decides (protocol/
 * forward.ts), devices answer when they are done, and what they say to an epoch that is over is
 * nobody's.
 */

import type { SlowDevice } from "../devices/scratch.ts";
import { type Event, Forwarder } from "../protocol/forward.ts";

export type SlowOptions = {
  readonly node: number;
  /** All of the VM; this node executes those placed on it. */
  readonly devices: readonly SlowDevice[];
  readonly nowNs: () => bigint;
  /** Whether the VM still is, so that what a device says matters. */
  readonly alive: () => boolean;
  readonly reply: (id: number, data: Uint8Array) => void;
  readonly warn: (text: string) => void;
  readonly end: (reason: string) => void;
};

export class SlowAccesses {
  readonly #o: SlowOptions;
  #forwarder: Forwarder;

  constructor(options: SlowOptions) {
    this.#o = options;
    this.#forwarder = this.#newForwarder();
  }

  /** The next epoch: devices outlive a reset, accesses to them do not. */
  restart(): void {
    this.#forwarder = this.#newForwarder();
  }

  step(event: Event): void {
    this.#step(this.#forwarder, event);
  }

  #newForwarder(): Forwarder {
    return new Forwarder(
      this.#o.node,
      this.#o.devices.map((device) => device.place),
    );
  }

  #step(forwarder: Forwarder, event: Event): void {
    // What a device answers to an access of the epoch before is nobody's.
    if (forwarder !== this.#forwarder || !this.#o.alive()) return;
    for (const effect of forwarder.step(event, this.#o.nowNs())) {
      switch (effect.kind) {
        case "execute": {
          const { ticket } = effect;
          const device = this.#o.devices.find(({ place }) => place.name === effect.device);
          void (async () => device?.access(effect.access) ?? new Uint8Array())().then(
            (data) => this.#step(forwarder, { kind: "answered", ticket, data }),
            (error: unknown) => {
              const reason = error instanceof Error ? error.message : String(error);
              this.#step(forwarder, { kind: "failed", ticket, reason });
            },
          );
          break;
        }
        case "reply":
          this.#o.reply(effect.id, effect.data);
          break;
        case "warn":
          this.#o.warn(effect.text);
          break;
        case "end":
          this.#o.end(effect.reason);
          break;
        default:
          effect satisfies never;
      }
    }
  }
}
