/**
 * @module What a litmus run says, line by line (native/zig/litmus/report.zig): the words of litmus7
 * for people, and `litmus NAME model=... iterations=... moved=... condition=... forbidden=...` once
 * per case.
 */

export type CaseResult = {
  /** e.g. SB+mfences+pages: shape, what stands between its accesses, where they lie. */
  readonly name: string;
  readonly shape: string;
  /** Which outcomes are allowed: sc where each thread has a node of its own. */
  readonly model: "tso" | "sc";
  readonly iterations: number;
  /** Iterations in which a thread waited as long as a page takes to come. */
  readonly moved: number;
  /** Iterations whose outcome is the one the shape is about. */
  readonly condition: number;
  readonly forbidden: number;
};

const pattern =
  /^litmus (\S+) model=(tso|sc) iterations=(\d+) moved=(\d+) condition=(\d+) forbidden=(\d+)$/;
/** Words that a name ends with; what is before them is the shape (2+2W has a plus of its own). */
const variants = /(?:\+mfences|\+locks)?\+(?:page|pages|across|border)$/;

/** undefined for the lines that are for people. */
export function readCase(line: string): CaseResult | undefined {
  const [, name, model, ...numbers] = pattern.exec(line) ?? [];
  if (name === undefined || (model !== "tso" && model !== "sc")) return undefined;
  const [iterations = 0, moved = 0, condition = 0, forbidden = 0] = numbers.map(Number);
  const shape = name.replace(variants, "");
  return { name, shape, model, iterations, moved, condition, forbidden };
}

/** `faults N`: page faults that another node answered, in a whole run of the native program. */
export function readFaults(line: string): number | undefined {
  const [, faults] = /^faults (\d+)$/.exec(line) ?? [];
  return faults === undefined ? undefined : Number(faults);
}

export type Sum = Pick<CaseResult, "iterations" | "moved" | "condition" | "forbidden">;

export function sumOf(cases: readonly Sum[]): Sum {
  const total = (key: keyof Sum) => cases.reduce((sum, one) => sum + one[key], 0);
  return {
    iterations: total("iterations"),
    moved: total("moved"),
    condition: total("condition"),
    forbidden: total("forbidden"),
  };
}
