/**
 * @module When a node ticks. The guest's vCPUs may share its thread's CPU, so it wakes often only
 * while something is under way; what gives it a reason rouses it from a longer sleep at once.
 */

export const tickMs = 5;
const calmTickMs = 50;
/** In which every peer is asked for its TSC (protocol/drift.ts). */
const askedMs = 200;

export type PaceOptions = {
  /** How many nodes there are, this one among them. */
  readonly nodes: number;
  /** Whether nothing is under way; asked each time before the node sleeps. */
  readonly calm: () => boolean;
  readonly tick: () => void;
};

export class Pace {
  readonly #o: PaceOptions;
  readonly #calmMs: number;
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** The sleep that goes on is a long one. */
  #calm = false;

  constructor(options: PaceOptions) {
    this.#o = options;
    // Each tick asks one peer for its TSC.
    this.#calmMs = Math.max(tickMs, Math.min(calmTickMs, askedMs / options.nodes));
  }

  /** Ticks from now on, first after a sleep. */
  start(): void {
    this.#calm = this.#o.calm();
    const again = () => {
      this.#calm = false;
      this.#o.tick();
      this.start();
    };
    this.#timer = setTimeout(again, this.#calm ? this.#calmMs : tickMs);
  }

  /** There may be something under way now: if so, a long sleep is over. */
  rouse(): void {
    if (!this.#calm || this.#o.calm()) return;
    clearTimeout(this.#timer);
    this.start();
  }

  /** Takes back the tick that would come next; one that is just being made is followed by more. */
  stop(): void {
    clearTimeout(this.#timer);
  }
}
