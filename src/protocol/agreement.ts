/**
 * @module What must match before nodes become one machine. Every node has every Hello and computes
 * the same answer from them; nobody decides for the others.
 */

import type { CpuidEntry } from "../node/dataplane.ts";
import type { Hello } from "./messages.ts";

/** What KVM takes for the same rate (tsc_tolerance_ppm): beyond it it would have to scale. */
const tscTolerancePpm = 250;
const vcpusMax = 255;

export type Agreement = {
  readonly vmIdU64: bigint;
  readonly epoch: number;
  readonly tscKhz: number;
  readonly cpuid: readonly CpuidEntry[];
};

export type Outcome =
  | { readonly ok: true; readonly agreement: Agreement }
  | { readonly ok: false; readonly reason: string };

type Rule = (first: Hello, other: Hello, index: number) => string | undefined;

/** Each compares node 0 with node `index`; the sentence names both sides and the cure. */
const rules: readonly Rule[] = [
  (a, b, i) =>
    a.protocol === b.protocol
      ? undefined
      : `node ${i} speaks protocol ${b.protocol}, node 0 speaks ${a.protocol}: ` +
        "run the same giantvm on all nodes",
  (a, b, i) =>
    a.build === b.build
      ? undefined
      : `node ${i} is build ${b.build}, node 0 is ${a.build}: run the same giantvm on all nodes`,
  (a, b, i) =>
    a.order === b.order
      ? undefined
      : `node ${i} was given --peers ${b.order}, node 0 was given ${a.order}: ` +
        "name the same nodes in the same order everywhere",
  (a, b, i) =>
    a.silenceMs === b.silenceMs
      ? undefined
      : `node ${i} has --silence ${b.silenceMs}, node 0 has ${a.silenceMs}: use one value`,
  (a, b, i) =>
    a.facts.vendor === b.facts.vendor
      ? undefined
      : `node ${i} has a ${b.facts.vendor} processor, node 0 a ${a.facts.vendor}: ` +
        "one VM needs processors of one vendor",
  (a, b, i) => {
    const difference = Math.abs(a.facts.tscKhz - b.facts.tscKhz);
    return difference * 1e6 <= a.facts.tscKhz * tscTolerancePpm
      ? undefined
      : `the TSC of node ${i} runs at ${b.facts.tscKhz} kHz, that of node 0 at ` +
          `${a.facts.tscKhz} kHz: the guest's clock would drift; use hosts of one rate`;
  },
];

/**
 * @param hellos one per node, in node order.
 * @param cpuidOf the processor all nodes can show (src/machine/cpuid.ts); throws with a sentence.
 */
export function agree(
  hellos: readonly Hello[],
  cpuidOf: (hellos: readonly Hello[]) => readonly CpuidEntry[],
): Outcome {
  const [first] = hellos;
  if (first === undefined) return { ok: false, reason: "there is no node" };
  for (const [index, hello] of hellos.entries()) {
    for (const rule of rules) {
      const reason = rule(first, hello, index);
      if (reason !== undefined) return { ok: false, reason };
    }
  }
  const vcpus = hellos.reduce((sum, hello) => sum + hello.cpus, 0);
  if (vcpus > vcpusMax) {
    return { ok: false, reason: `${vcpus} vCPUs in all are more than ${vcpusMax}: use fewer` };
  }
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
