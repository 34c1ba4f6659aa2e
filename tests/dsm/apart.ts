/**
 * @module Whether a history of counters has one order where each node has a clock of its own. That
 * order must agree with the values, with each node's clock and, as far as the distance between
 * clocks is known, with time. All of it is a graph of what must come before what, over all
 * counters: an order exists exactly when the graph has no cycle.
 *
 * So what needs no common clock is sequential consistency; the clocks add that it is nowhere older
 * than the uncertainty about them.
 */

import { type Operation, rank, tell, valueProblems } from "./history.ts";

/** A node's clock minus the one that all are compared with lies between these, in ns. */
export type Offset = { readonly least: number; readonly most: number };

/** A question for a node's time: ours before and after it, and the answer. */
export type Round = { readonly before: number; readonly clock: number; readonly after: number };

function narrowest(rounds: readonly Round[]): Offset {
  const [best] = rounds.toSorted((a, b) => a.after - a.before - (b.after - b.before));
  if (best === undefined) throw new RangeError("no round");
  return { least: best.clock - best.after, most: best.clock - best.before };
}

/**
 * Bounds of the offset during all of a run, from rounds before and after it. Clocks that run at
 * different but constant rates drift from the one offset to the other, so never leave both.
 */
export function offsetOf(earlier: readonly Round[], later: readonly Round[]): Offset {
  const [a, b] = [narrowest(earlier), narrowest(later)];
  return { least: Math.min(a.least, b.least), most: Math.max(a.most, b.most) };
}

/** The operation on the common clock: it was not longer than this. */
function widened(operation: Operation, { least, most }: Offset): Operation {
  return { ...operation, begin: operation.begin - most, end: operation.end - least };
}

/** What must come before what, vertices being numbers. */
class Precedence {
  readonly #after: number[][] = [];

  vertex(): number {
    return this.#after.push([]) - 1;
  }

  add(first: number, second: number): void {
    this.#after[first]?.push(second);
  }

  /** Vertices of one cycle in their order; empty where there is none. */
  cycle(): readonly number[] {
    const left = new Uint32Array(this.#after.length);
    for (const second of this.#after.flat()) left[second]! += 1;
    const free = [...left.keys()].filter((vertex) => left[vertex] === 0);
    for (let vertex = free.pop(); vertex !== undefined; vertex = free.pop()) {
      for (const second of this.#after[vertex]!) {
        left[second]! -= 1;
        if (left[second] === 0) free.push(second);
      }
    }
    // Each of those left has one before it that is left too: backwards until one comes again.
    const before = new Map<number, number>();
    for (const [first, seconds] of this.#after.entries()) {
      if (left[first] !== 0) for (const second of seconds) before.set(second, first);
    }
    const path = new Set<number>();
    let vertex = left.findIndex((count) => count > 0);
    if (vertex < 0) return [];
    for (; !path.has(vertex); vertex = before.get(vertex)!) path.add(vertex);
    const walked = [...path];
    return walked.slice(walked.indexOf(vertex)).toReversed();
  }
}

/** An operation's vertex is its place in the list. */
type Entry = { readonly vertex: number; readonly operation: Operation };

/** Loads come after the addition whose sum they saw, and before the next. */
function addValues(graph: Precedence, entries: readonly Entry[]): void {
  for (const own of Map.groupBy(entries, ({ operation }) => operation.counter).values()) {
    const ranks = [...Map.groupBy(own, ({ operation }) => rank(operation))];
    const ascending = ranks.toSorted(([a], [b]) => a - b).map(([, group]) => group);
    for (const [i, group] of ascending.entries()) {
      for (const first of ascending[i - 1] ?? []) {
        for (const second of group) graph.add(first.vertex, second.vertex);
      }
    }
  }
}

/** What ended before another began, on one clock; by a chain of moments, as pairs are many. */
function addTimes(graph: Precedence, entries: readonly Entry[]): void {
  const ends = entries.toSorted((a, b) => a.operation.end - b.operation.end);
  const begins = entries.toSorted((a, b) => a.operation.begin - b.operation.begin);
  let moment = graph.vertex();
  let passed = 0;
  for (const { vertex, operation } of begins) {
    for (; ends[passed] && ends[passed]!.operation.end < operation.begin; passed += 1) {
      const next = graph.vertex();
      graph.add(moment, next);
      graph.add(ends[passed]!.vertex, next);
      moment = next;
    }
    graph.add(moment, vertex);
  }
}

/** What is wrong with the history; empty when an order exists. Offsets are by node. */
export function checkApart(
  operations: readonly Operation[],
  offsets: readonly Offset[],
): readonly string[] {
  const problems = valueProblems(operations);
  if (problems.length > 0) return problems;
  const graph = new Precedence();
  const own = operations.map((operation) => ({ vertex: graph.vertex(), operation }));
  addValues(graph, own);
  for (const [node, offset] of offsets.entries()) {
    if (offset.least > offset.most) throw new RangeError(`node ${node}'s clock has no offset`);
    addTimes(
      graph,
      own.filter(({ operation }) => operation.node === node),
    );
  }
  const common = own.map(({ vertex, operation }) => {
    const offset = offsets[operation.node];
    if (offset === undefined) throw new RangeError(`no clock of node ${operation.node}`);
    return { vertex, operation: widened(operation, offset) };
  });
  addTimes(graph, common);
  const cycle = graph.cycle().flatMap((vertex) => operations[vertex] ?? []);
  if (cycle.length === 0) return [];
  const shown = cycle.slice(0, 20).map((each) => `counter ${each.counter} ${tell(each)}`);
  return [`each must come before the next, and the last before the first: ${shown.join("; ")}`];
}
