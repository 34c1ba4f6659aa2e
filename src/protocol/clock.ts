/**
 * @module How far this host's clock is from node 0's, after Cristian: of many round trips the
 * shortest says most, and half of it bounds the error.
 */

export type ClockOffset = {
  /** Add to the local clock to get node 0's. */
  readonly offsetNs: bigint;
  readonly boundNs: bigint;
};

/** Before an offset counts, and when a bad one must do. */
const samplesLeast = 24;
const samplesEnough = 200;
const boundGoodNs = 2_000_000n;

export class ClockProbe {
  #best: ClockOffset | undefined;
  samples = 0;

  add(sentNsU64: bigint, answeredNsU64: bigint, receivedNsU64: bigint): void {
    const roundTrip = receivedNsU64 - sentNsU64;
    if (roundTrip < 0n) return;
    this.samples += 1;
    const boundNs = roundTrip / 2n + 1n;
    if (this.#best !== undefined && this.#best.boundNs <= boundNs) return;
    this.#best = { offsetNs: answeredNsU64 - (sentNsU64 + roundTrip / 2n), boundNs };
  }

  get best(): ClockOffset | undefined {
    return this.#best;
  }

  /**
   * The offset to start with; undefined while more samples may help. A busy host answers late, and
   * TSCs that differ by the bound would go back between vCPUs.
   */
  get settled(): ClockOffset | undefined {
    if (this.#best === undefined || this.samples < samplesLeast) return undefined;
    const good = this.#best.boundNs <= boundGoodNs;
    return good || this.samples >= samplesEnough ? this.#best : undefined;
  }
}
