/**
 * @module Whether a history of counters is linearizable. Additions return the value they found, so
 * each counter's order is known: the load of v comes after the addition that found v - 1 and before
 * the one that found v. Such an order is possible exactly when no operation ended before one
 * that must come earlier began.
 */

export type Operation = {
  readonly counter: number;
  readonly kind: "add" | "load";
  readonly value: number;
  readonly begin: number;
  readonly end: number;
  readonly node: number;
};

/** Place in the counter's order; loads of one value share one. */
export function rank(operation: Operation): number {
  return 2 * operation.value + (operation.kind === "add" ? 1 : 0);
}

export function tell(operation: Operation): string {
  const { node, kind, value, begin, end } = operation;
  return `node ${node} ${kind} ${value} [${begin}, ${end}]`;
}

/** Whether each addition found what the one before it left, and no load saw what none wrote. */
function checkValues(operations: readonly Operation[]): readonly string[] {
  const adds = operations
    .filter(({ kind }) => kind === "add")
    .toSorted((a, b) => rank(a) - rank(b));
  const wrong = [...adds.entries()].find(([expected, { value }]) => value !== expected);
  const problems = operations
    .filter(({ value }) => value > adds.length)
    .map((operation) => `never written: ${tell(operation)}`);
  if (wrong === undefined) return problems;
  return [`addition ${wrong[0]} of ${adds.length} found ${wrong[1].value}`, ...problems];
}

function checkTimes(operations: readonly Operation[]): readonly string[] {
  const problems: string[] = [];
  /** Of all smaller ranks, the operation that began last. */
  let latest: Operation | undefined;
  let group: Operation | undefined;
  let groupRank = -1;
  for (const operation of operations.toSorted((a, b) => rank(a) - rank(b))) {
    if (rank(operation) !== groupRank) {
      if (group !== undefined && (latest === undefined || group.begin > latest.begin)) {
        latest = group;
      }
      group = undefined;
      groupRank = rank(operation);
    }
    if (latest !== undefined && operation.end < latest.begin) {
      problems.push(`${tell(operation)} ended before ${tell(latest)} began`);
    }
    if (group === undefined || operation.begin > group.begin) group = operation;
  }
  return problems;
}

function perCounter(
  operations: readonly Operation[],
  check: (own: readonly Operation[]) => readonly string[],
): readonly string[] {
  const counters = Map.groupBy(operations, (operation) => operation.counter);
  return [...counters].flatMap(([counter, own]) =>
    check(own).map((problem) => `counter ${counter}: ${problem}`),
  );
}

/** What is wrong with the values alone, whatever the times were. */
export function valueProblems(operations: readonly Operation[]): readonly string[] {
  return perCounter(operations, checkValues);
}

/** What is wrong with the history; empty when it is linearizable. */
export function checkHistory(operations: readonly Operation[]): readonly string[] {
  return [...valueProblems(operations), ...perCounter(operations, checkTimes)];
}

/** Additions whose predecessor was made by another node: how often a counter's page moved. */
export function handovers(operations: readonly Operation[]): number {
  const adds = operations.filter(({ kind }) => kind === "add");
  const byCounter = Map.groupBy(adds, ({ counter }) => counter);
  return [...byCounter.values()]
    .map((own) => own.toSorted((a, b) => a.value - b.value))
    .flatMap((own) => own.filter((add, i) => i > 0 && own[i - 1]?.node !== add.node)).length;
}
