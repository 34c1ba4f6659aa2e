/**
 * @module `npm run litmus [-- --iterations N] [--shapes SB,MP] [--places guest,native]`: every
 * shape of the x86-TSO catalogue between nodes, in the built-in guest and with native threads, and
 * SB within one node, where its relaxed outcome must show. docs/litmus.md.
 */

import { count, oneOf } from "../src/config/values.ts";
import { type Sum, sumOf } from "./litmus/results.ts";
import { type Place, type Request, runLitmus } from "./litmus/run.ts";
import { scriptOptions } from "./options.ts";
import { buildProgram } from "./zig.ts";

const catalogue = ["SB", "MP", "LB", "S", "R", "2+2W", "IRIW"];
const places: readonly Place[] = ["guest", "native"];
/** Of the iterations of a shape at least so many must have moved a page. */
const movedShare = 10;
/** Runs of a shape that did not move enough pages go on with other seeds, so often at most. */
const runsMax = 5;
/** Iterations within one node after which the relaxed outcome must have been seen. */
const relaxedIterations = 200_000;
const relaxedRunsMax = 20;

/** Some of them, or all where none is named. */
function listOf<T extends string>(where: string, text: string | undefined, all: readonly T[]) {
  return text?.split(",").map((word) => oneOf(where, word, all)) ?? all;
}

const started = performance.now();
const seconds = () => Math.round((performance.now() - started) / 1000);
const known = [
  { name: "iterations", value: "N" },
  { name: "shapes", value: "LIST", several: "," },
  { name: "places", value: "LIST", several: "," },
] as const;
const { iterations, shapes, wantedPlaces } = scriptOptions("litmus", known, (flags) => ({
  iterations: count("--iterations", flags["iterations"] ?? "1000000", 1, 999_999_999),
  shapes: listOf("--shapes", flags["shapes"], catalogue),
  wantedPlaces: listOf("--places", flags["places"], places),
}));

const problems: string[] = [];
const native = buildProgram("litmus");
const print = (line: string) => void process.stdout.write(`${line}\n`);

/** One run; what went wrong with it is noted. */
async function once(request: Request): Promise<Sum> {
  const run = await runLitmus(request, native, print);
  const sum = sumOf(run.cases);
  const where = `${request.shapes.join(",")} (${request.place}, ${request.nodes} nodes)`;
  if (sum.forbidden > 0) problems.push(`${where}: ${sum.forbidden} forbidden outcomes`);
  else if (run.codes.some((code) => code !== 0)) {
    problems.push(`${where}: exit ${run.codes.join(", ")}: ${run.text.at(-1) ?? "nothing said"}`);
  }
  // A thread that was not running for a while looks as slow as one that waited for a page, but no
  // iteration waited for more pages than came.
  return { ...sum, moved: Math.min(sum.moved, run.faults) };
}

async function betweenNodes(place: Place, shape: string): Promise<Sum> {
  const sums: Sum[] = [];
  for (let seed = 1; seed <= runsMax; seed++) {
    const threadsPerNode = shape === "IRIW" ? 2 : 1;
    const fixed = { place, nodes: 2, threadsPerNode, shapes: [shape] };
    sums.push(await once({ ...fixed, iterations, seed }));
    const sum = sumOf(sums);
    const enough = sum.moved >= iterations / movedShare && sum.iterations >= iterations;
    if (enough || problems.length > 0) return sum;
  }
  problems.push(`${shape} (${place}): only ${sumOf(sums).moved} iterations moved a page`);
  return sumOf(sums);
}

/** Shows that the harness can see reordering where there is some. */
async function withinNode(place: Place): Promise<Sum> {
  const sums: Sum[] = [];
  for (let seed = 1; seed <= relaxedRunsMax; seed++) {
    const fixed = { place, nodes: 1, threadsPerNode: 2, shapes: ["SB"] };
    sums.push(await once({ ...fixed, iterations: relaxedIterations, seed }));
    if (sumOf(sums).condition > 0 || problems.length > 0) return sumOf(sums);
  }
  problems.push(`SB within one node (${place}): 0:EAX=0; 1:EAX=0 was never seen`);
  return sumOf(sums);
}

function row(name: string, sum: Sum): string {
  const cells = [sum.iterations, sum.moved, sum.condition, sum.forbidden];
  return `| ${[name, ...cells.map((cell) => cell.toLocaleString("en"))].join(" | ")} |`;
}

const rows: string[] = [];
const all: Sum[] = [];
for (const place of wantedPlaces) {
  const relaxed = await withinNode(place);
  rows.push(row(`SB, ${place}, one node`, relaxed));
  print(`# ${seconds()} s: ${rows.at(-1)}`);
  for (const shape of shapes) {
    const sum = await betweenNodes(place, shape);
    all.push(sum);
    rows.push(row(`${shape}, ${place}`, sum));
    print(`# ${seconds()} s: ${rows.at(-1)}`);
  }
}
print(
  "\n| shape | iterations | moved a page | condition held | forbidden |\n|---|---|---|---|---|",
);
for (const line of rows) print(line);
for (const problem of problems) print(`FAILED ${problem}`);
const total = sumOf(all);
print(
  `${shapes.length} shapes in ${wantedPlaces.length} places, ${total.iterations} iterations, ` +
    `${total.moved} moved a page, ${total.forbidden} forbidden, ${problems.length} problems, ` +
    `${seconds()} s`,
);
process.exitCode = problems.length > 0 ? 1 : 0;
