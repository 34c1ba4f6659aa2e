/**
 * @module What must match before nodes become one machine. Two Hellos are compared as soon as both
 * are known, so that a disagreement is told at once and not when the last node has come; with all
 * of them every node computes the same plan, and nobody decides for the others.
 */

import { gpaRanges, ramBytes } from "../machine/map.ts";
import { modelText, signatureOf } from "../machine/model.ts";
import type { CpuidEntry } from "../node/dataplane.ts";
import type { Hello } from "./messages.ts";

/** What KVM takes for the same rate (tsc_tolerance_ppm): beyond it it would have to scale. */
const tscTolerancePpm = 250;
const vcpusMax = 255;
/** KVM takes 2^31 - 1 pages in one slot, and what lies above the hole at 3 GiB is one. */
const pagesMax = 2 ** 31;

export type Agreement = {
  readonly vmIdU64: bigint;
  readonly epoch: number;
  readonly tscKhz: number;
  readonly cpuid: readonly CpuidEntry[];
};

export type Outcome =
  | { readonly ok: true; readonly agreement: Agreement }
  | { readonly ok: false; readonly reason: string };

/** A node as users know it: number and place in --peers. */
export function nameOf(names: readonly string[], node: number): string {
  return `node ${node} (${names[node] ?? "?"})`;
}

type Party = { readonly hello: Hello; readonly is: string };
type Rule = (a: Party, b: Party) => string | undefined;

const sameBuild = "run the same giantvm on all nodes";

/** Each compares two nodes; the sentence names both sides and the cure. */
const rules: readonly Rule[] = [
  (a, b) =>
    a.hello.build === b.hello.build
      ? undefined
      : `${b.is} is build ${b.hello.build}, ${a.is} is ${a.hello.build}: ${sameBuild}`,
  (a, b) =>
    a.hello.order === b.hello.order
      ? undefined
      : `${b.is} was given --peers ${b.hello.order}, ${a.is} was given ${a.hello.order}: ` +
        "name the same nodes in the same order everywhere",
  sameSettings,
  (a, b) =>
    a.hello.facts.vendor === b.hello.facts.vendor
      ? undefined
      : `${b.is} has a ${b.hello.facts.vendor} processor, ${a.is} a ${a.hello.facts.vendor}: ` +
        "one VM needs processors of one vendor",
  (a, b) => {
    const [one, other] = [a.hello.facts.tscKhz, b.hello.facts.tscKhz];
    return Math.abs(one - other) * 1e6 <= one * tscTolerancePpm
      ? undefined
      : `the TSC of ${b.is} runs at ${other} kHz, that of ${a.is} at ${one} kHz: ` +
          "the guest's clock would drift; use hosts of one rate";
  },
  (a, b) =>
    a.hello.kernel && b.hello.obstacle !== ""
      ? `${b.is} cannot be one of several nodes with the kernel of ${a.is}: ${b.hello.obstacle}`
      : undefined,
];

function sameSettings(a: Party, b: Party): string | undefined {
  const theirs = new Map(b.hello.settings);
  for (const [option, value] of a.hello.settings) {
    const other = theirs.get(option);
    if (other === value) continue;
    const [theirText, ourText] = [other || "none", value || "none"];
    return `${b.is} has --${option} ${theirText}, ${a.is} has ${ourText}: use one value`;
  }
  return undefined;
}

/**
 * Compares the Hellos that are known so far.
 * @param hellos in node order, undefined where none has come yet.
 * @returns a sentence, or undefined when nothing differs.
 */
export function disagreement(
  hellos: readonly (Hello | undefined)[],
  names: readonly string[],
): string | undefined {
  const known = hellos.flatMap((hello, node): readonly Party[] =>
    hello === undefined ? [] : [{ hello, is: nameOf(names, node) }],
  );
  const [first, ...others] = known;
  if (first === undefined) return undefined;
  for (const rule of rules) {
    for (const other of others) {
      const reason = rule(first, other);
      if (reason !== undefined) return reason;
    }
  }
  return undefined;
}

/**
 * What is no disagreement, and yet to be known of hosts that differ: Linux chooses by the boot
 * processor alone what it does against processors' flaws. undefined where all are of one model.
 */
export function mixedModels(
  hellos: readonly Hello[],
  names: readonly string[],
): string | undefined {
  if (new Set(hellos.map(({ facts }) => signatureOf(facts))).size < 2) return undefined;
  const models = hellos.map(({ facts }, node) => `${nameOf(names, node)} has ${modelText(facts)}`);
  return (
    "the processors differ, and a guest chooses its mitigations by node 0's: " +
    `${models.join(", ")}; ` +
    "let the host that needs most of them (the older one) be the first in --peers"
  );
}

/** What a node that speaks another protocol, or whose Hello cannot be read, is told. */
export function foreignReason(
  foreign: { readonly protocol: number; readonly build: string; readonly is: string },
  own: { readonly protocol: number; readonly build: string; readonly is: string },
): string {
  return (
    `${foreign.is} speaks protocol ${foreign.protocol} (build ${foreign.build}), ` +
    `${own.is} speaks ${own.protocol} (build ${own.build}): ${sameBuild}`
  );
}

/** Limits of the whole; a sentence when one is passed. */
function tooMuch(hellos: readonly Hello[]): string | undefined {
  const vcpus = hellos.reduce((sum, hello) => sum + hello.cpus, 0);
  if (vcpus > vcpusMax) {
    return `${vcpus} vCPUs in all are more than ${vcpusMax}: lower --local-cpu`;
  }
  const pages = hellos.reduce((sum, hello) => sum + hello.ramPages, 0);
  if (pages === 0) return "no node gives memory: raise --local-memory";
  if (pages > pagesMax) {
    return `${pages / 256} MiB of memory in all are more than 8 TiB: lower the nodes' shares`;
  }
  const bits = Math.min(...hellos.map((hello) => hello.facts.physicalAddressBits));
  const last = gpaRanges(0, ramBytes(hellos)).at(-1);
  if (last !== undefined && last.first + last.length > 2 ** bits) {
    const node = hellos.findIndex((hello) => hello.facts.physicalAddressBits === bits);
    return (
      `the guest's memory ends at ${(last.first + last.length).toString(16)} and the processor ` +
      `of node ${node} has ${bits} address bits: lower the nodes' shares`
    );
  }
  return undefined;
}

/**
 * @param hellos one per node, in node order, among which is no disagreement.
 * @param cpuidOf the processor all nodes can show (src/machine/cpuid.ts); throws with a sentence.
 */
export function agree(
  hellos: readonly Hello[],
  cpuidOf: (hellos: readonly Hello[]) => readonly CpuidEntry[],
): Outcome {
  const [first] = hellos;
  if (first === undefined) return { ok: false, reason: "there is no node" };
  const reason = tooMuch(hellos);
  if (reason !== undefined) return { ok: false, reason };
  try {
    const agreement = {
      vmIdU64: first.vmIdU64,
      epoch: first.epoch,
      tscKhz: first.facts.tscKhz,
      cpuid: cpuidOf(hellos),
    };
    return { ok: true, agreement };
  } catch (error) {
    return { ok: false, reason: error instanceof Error ? error.message : String(error) };
  }
}
