/**
 * @module Console input on its way into the guest: its serial port takes a few bytes at a time, so
 * keys wait here, in order and up to a bound.
 */

/** Kept for a guest that takes none, and what the last read goes beyond it. */
const inputBytesMax = 64 * 1024;

export class ConsoleInput {
  readonly #waiting: Uint8Array[] = [];

  get empty(): boolean {
    return this.#waiting.length === 0;
  }

  get full(): boolean {
    return this.#waiting.reduce((sum, each) => sum + each.length, 0) >= inputBytesMax;
  }

  /** @returns false where it is full: nothing of it is kept. */
  push(bytes: Uint8Array): boolean {
    if (this.full) return false;
    this.#waiting.push(bytes);
    return true;
  }

  /** Offers what waits. @param take tells how many bytes of those it was given it took. */
  feed(take: (bytes: Uint8Array) => number): void {
    for (let next = this.#waiting[0]; next !== undefined; next = this.#waiting[0]) {
      const taken = take(next);
      if (taken < next.length) {
        this.#waiting[0] = next.subarray(taken);
        return;
      }
      this.#waiting.shift();
    }
  }
}
