/**
 * @module How one epoch ends: which of several ends stands, who has stopped, and when the rest need
 * not be waited for. A reset waits for every living node, as all of them begin the next epoch.
 */

import { nameOf } from "./agreement.ts";
import type { End, EndCause } from "./messages.ts";

/** How long an end waits for nodes that do not say that they have stopped. */
const endGraceNsU64 = 3_000_000_000n;
/** The same for nodes of which nothing was ever heard: they may be about to start. */
const unmetGraceNsU64 = { signal: 500_000_000n, failure: 2_000_000_000n };
/** A reset waits for every living node; beyond this time, or 20 times the silence, one hangs. */
const resetNsU64 = 60_000_000_000n;
const msU64 = 1_000_000n;

/**
 * Of ends at the same moment the one further behind stands on all nodes: what went wrong is told
 * rather than what was wanted. A reset gives way to all of them; that a node is lost is no news to
 * any other end.
 */
const weight: Readonly<Record<EndCause, number>> = {
  reset: 0,
  lost: 1,
  poweroff: 2,
  verdict: 3,
  signal: 4,
  failed: 5,
  crash: 6,
};

/** Of one cause the higher code. */
function outweighs(end: End, other: End): boolean {
  if (end.cause === other.cause) return end.code > other.code;
  return weight[end.cause] > weight[other.cause];
}

export type EndingOptions = {
  readonly node: number;
  readonly names: readonly string[];
  readonly silenceMs: number;
};

export class Ending {
  readonly #options: EndingOptions;
  /** Nodes that have stopped, or never were in this epoch. */
  readonly #ended = new Set<number>();
  #end: End | undefined;
  #sinceNsU64 = 0n;
  #stopped = false;

  constructor(options: EndingOptions) {
    this.#options = options;
  }

  get end(): End | undefined {
    return this.#end;
  }

  /**
   * "late": another end stands, of the same weight or more; or the others know already that this
   * node has stopped, and may be over without hearing of its end.
   * @param own found out here, not told by another node.
   */
  begin(end: End, own: boolean, nowNsU64: bigint): "first" | "instead" | "late" {
    const before = this.#end;
    // Behind a reset processors do what they like: a triple fault is one way to reset, too.
    if (before?.cause === "reset" && own && end.cause === "crash") return "late";
    if (before !== undefined && !outweighs(end, before)) return "late";
    if (before !== undefined && before.cause !== "reset" && own && this.#stopped) return "late";
    this.#end = end;
    this.#sinceNsU64 = nowNsU64;
    return before === undefined ? "first" : "instead";
  }

  /** The vCPUs of this node have stopped; whether that is the end the others wait for. */
  stopped(): boolean {
    this.#stopped = true;
    if (this.#end === undefined) return false;
    this.#ended.add(this.#options.node);
    return true;
  }

  hasEnded(node: number): boolean {
    return this.#ended.has(node);
  }

  ended(node: number): void {
    this.#ended.add(node);
  }

  /**
   * What this epoch ends with, once it is over; a reset goes on in the next one.
   * @param others the living nodes beside this one.
   * @param met nodes of which anything was heard.
   */
  outcome(others: readonly number[], met: ReadonlySet<number>, nowNsU64: bigint): End | undefined {
    const end = this.#end;
    if (end === undefined) return undefined;
    const waited = nowNsU64 - this.#sinceNsU64;
    const running = others.filter((node) => !this.#ended.has(node));
    const done = this.#stopped && running.length === 0;
    if (end.cause === "reset") {
      if (done || waited <= this.#resetLimit()) return done ? end : undefined;
      return { ...end, cause: "failed", code: 7, reason: this.#hanging(running) };
    }
    const grace = unmetGraceNsU64[end.cause === "signal" ? "signal" : "failure"];
    const enough = this.#stopped && !running.some((node) => met.has(node)) && waited > grace;
    return done || enough || waited > endGraceNsU64 || end.cause === "lost" ? end : undefined;
  }

  #resetLimit(): bigint {
    const silences = 20n * BigInt(this.#options.silenceMs) * msU64;
    return silences > resetNsU64 ? silences : resetNsU64;
  }

  #hanging(running: readonly number[]): string {
    const nodes = this.#stopped ? running : [this.#options.node, ...running];
    const names = nodes.map((node) => nameOf(this.#options.names, node)).join(", ");
    return (
      `the guest reset the machine, and the vCPUs of ${names} ` +
      `did not stop within ${this.#resetLimit() / 1_000_000_000n} s: start the VM again`
    );
  }
}
