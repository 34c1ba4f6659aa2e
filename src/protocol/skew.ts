/**
 * @module How far another host's time stamp counter is ahead of this one's, as an interval that the
 * truth cannot leave, after Marzullo and Cristian: the peer read its counter somewhere between a
 * question and its answer, so each round trip bounds the difference from both sides. Round trips
 * some time apart bound the difference of the rates, and with it what the older ones say now.
 *
 * Counters are those without steps (drift.ts): nothing but two oscillators moves the difference.
 */

/**
 * The most by which two counters' rates differ: nodes whose KVM names rates more than 250 ppm apart
 * are refused, and a rate that is named may be off by as much.
 */
export const rateMax = 500e-6;
/** How much that difference changes within a second: a quartz by 0.1 ppm while it warms up. */
const wanderPerSecond = 0.2e-6;
/** One sample is kept of each second, the one of the shortest round trip. */
const secondsKept = 16;
/** Beyond this an answer says too little. */
const roundTripSecondsMax = 1;

/** What holds from `low` to `high`, in ticks of the own counter at `at`. */
type Sample = { readonly at: number; readonly low: number; readonly high: number };

/** The peer's counter minus the own one in ticks, and the difference of the rates. */
export type Estimate = {
  readonly low: number;
  readonly high: number;
  readonly slow: number;
  readonly fast: number;
};

export class Skew {
  readonly #second: number;
  /** Oldest first, at most one of each second. */
  #samples: Sample[] = [];
  /** Moment and difference that numbers are relative to, so that they are exact. */
  #origin: { readonly at: bigint; readonly difference: bigint } | undefined;

  constructor(ticksPerSecond: number) {
    this.#second = ticksPerSecond;
  }

  /**
   * A question of `sent`, answered when the peer's counter read `answered`.
   * @returns ticks by which this contradicts what is known at any rate: the least by which one of
   * the counters has jumped. What was known is forgotten then.
   */
  add(sentU64: bigint, answeredU64: bigint, receivedU64: bigint): number {
    const roundTrip = Number(signed(receivedU64 - sentU64));
    if (roundTrip < 0 || roundTrip > roundTripSecondsMax * this.#second) return 0;
    const difference = signed(answeredU64 - receivedU64);
    this.#origin ??= { at: receivedU64, difference };
    const at = this.#at(receivedU64);
    const least = Number(signed(difference - this.#origin.difference));
    // It held when the peer answered; it shall hold now. A tick more, since both count whole ones.
    const slack = rateMax * roundTrip + 1;
    const sample = { at, low: least - slack, high: least + roundTrip + slack };
    const jump = this.#contradiction(sample);
    if (jump > 0) this.#samples = [];
    this.#keep(sample);
    return jump;
  }

  /** undefined before the first answer. */
  estimate(nowU64: bigint): Estimate | undefined {
    const base = Number(this.#origin?.difference ?? 0n);
    const at = this.#at(nowU64);
    // Rates may change faster than is assumed, and then the oldest say something wrong.
    for (; this.#samples.length > 0; this.#samples.shift()) {
      const found = this.#fit(at);
      if (found !== undefined) {
        return { ...found, low: found.low + base, high: found.high + base };
      }
    }
    return undefined;
  }

  #at(countU64: bigint): number {
    return this.#origin === undefined ? 0 : Number(signed(countU64 - this.#origin.at));
  }

  #contradiction({ at, low, high }: Sample): number {
    return this.#samples.reduce((most, old) => {
      const drift = rateMax * Math.abs(at - old.at);
      return Math.max(most, low - old.high - drift, old.low - drift - high);
    }, 0);
  }

  #keep(sample: Sample): void {
    const second = (one: Sample) => Math.floor(one.at / this.#second);
    const last = this.#samples.at(-1);
    if (last !== undefined && second(last) === second(sample)) {
      if (sample.high - sample.low > last.high - last.low) return;
      this.#samples.pop();
    }
    this.#samples.push(sample);
    const oldest = second(sample) - secondsKept;
    this.#samples = this.#samples.filter((one) => second(one) > oldest);
  }

  /** undefined when the samples contradict each other. */
  #fit(at: number): Estimate | undefined {
    let [slow, fast] = [-rateMax, rateMax];
    for (const a of this.#samples) {
      for (const b of this.#samples) {
        const took = b.at - a.at;
        if (took < this.#second / 2) continue;
        // The mean rate in between, which was the rate at some moment there.
        slow = Math.max(slow, (b.low - a.high) / took);
        fast = Math.min(fast, (b.high - a.low) / took);
      }
    }
    const since = at - (this.#samples[0]?.at ?? at);
    const wander = (wanderPerSecond / this.#second) * Math.max(0, since);
    slow = Math.max(-rateMax, slow - wander);
    fast = Math.min(rateMax, fast + wander);
    let [low, high] = [-Infinity, Infinity];
    for (const sample of this.#samples) {
      const age = at - sample.at;
      low = Math.max(low, sample.low + Math.min(slow * age, fast * age));
      high = Math.min(high, sample.high + Math.max(slow * age, fast * age));
    }
    return slow <= fast && low <= high ? { low, high, slow, fast } : undefined;
  }
}

/** A difference of two counters of 64 bits. */
export function signed(ticks: bigint): bigint {
  return BigInt.asIntN(64, ticks);
}
