/**
 * @module The processor every vCPU of the VM shows: what all hosts can do, less what must not be
 * seen. A bit that one node lacks, or that would make the host's kernel write guest memory behind
 * the coherence engine's back, is cleared everywhere; the topology is our own.
 */

import type { CpuidEntry, HostFacts } from "../node/dataplane.ts";
import {
  featureObstacle,
  features,
  type FeatureName,
  featuresNamed,
  groups,
  type Register,
} from "./features.ts";
import { MachineError } from "./errors.ts";
import { familyOf, signatureOf } from "./model.ts";
import { apicTimerKhz, type NodeShare } from "./map.ts";
import { packageShift, topologyLeaves } from "./topology.ts";

export type CpuidPolicy = {
  /** In node order: the VM's TSC rate is the first one's. */
  readonly hosts: readonly HostFacts[];
  readonly nodes: readonly NodeShare[];
  /** Further names to hide: features or groups of features.ts ("xsave"). */
  readonly hide: readonly string[];
};

type Registers = { eax: number; ebx: number; ecx: number; edx: number };
type Leaf = Registers & { leaf: number; index: number; flags: number };

/** Leaves that are bit masks: a bit is shown when every host has it. */
const masks: readonly {
  readonly leaf: number;
  readonly index: number;
  readonly of: readonly Register[];
}[] = [
  { leaf: 0x1, index: 0, of: ["ecx", "edx"] },
  { leaf: 0x6, index: 0, of: ["eax"] },
  { leaf: 0x7, index: 0, of: ["ebx", "ecx", "edx"] },
  { leaf: 0x7, index: 1, of: ["eax", "ebx", "ecx", "edx"] },
  { leaf: 0x7, index: 2, of: ["edx"] },
  { leaf: 0xd, index: 1, of: ["eax", "ecx", "edx"] },
  { leaf: 0x8000_0001, index: 0, of: ["ecx", "edx"] },
  { leaf: 0x8000_0007, index: 0, of: ["edx"] },
  { leaf: 0x8000_0008, index: 0, of: ["ebx"] },
  { leaf: 0x8000_000a, index: 0, of: ["edx"] },
  { leaf: 0x8000_0021, index: 0, of: ["eax", "ecx"] },
];
/**
 * What is told of the hosts: vendor, features, caches (2, 4, 0x80000005, 0x80000006), names, state
 * (0xD), address sizes, 1 GiB TLB (0x80000019) and hints (0x8000001A, 0x80000021). Not told are
 * monitor (5), performance monitoring (0xA, 0x80000022), resource control (0xF, 0x10), SGX (0x12),
 * trace (0x14), rates (0x15, 0x16), tiles (0x1D, 0x1E), SVM (0x8000000A), IBS (0x8000001B),
 * the host's topology (0xB, 0x1F, 0x8000001D, 0x8000001E, 0x80000026), memory encryption
 * (0x8000001F), quality of service (0x80000020), and what later processors bring: a leaf that
 * nobody here knows cannot be intersected.
 */
const shown = new Set([
  0x0, 0x1, 0x2, 0x4, 0x6, 0x7, 0xd, 0x8000_0000, 0x8000_0001, 0x8000_0002, 0x8000_0003,
  0x8000_0004, 0x8000_0005, 0x8000_0006, 0x8000_0007, 0x8000_0008, 0x8000_0019, 0x8000_001a,
  0x8000_0021,
]);

function key(entry: { readonly leaf: number; readonly index: number }): string {
  return `${entry.leaf.toString(16)}.${entry.index}`;
}

/**
 * QEMU's emulated processor: an AMD K8 (family 15, sold until 2008) that claims XSAVE, which came
 * with family 21. KVM_GET_SUPPORTED_CPUID, all a node knows of its host, has no brand string.
 */
export function isEmulated(host: HostFacts): boolean {
  const { leaf, register, bit } = features.xsave;
  const xsave = host.cpuid.some((entry) => entry.leaf === leaf && (entry[register] >>> bit) & 1);
  return host.vendor === "AuthenticAMD" && familyOf(host) === 15 && xsave;
}

/**
 * Hidden without being asked for. `xsave`: QEMU's emulation of SVM does not carry a guest's XCR0
 * and FPU state safely. `arch_capabilities` of hosts that differ: its MSR says which flaws a
 * processor does not have, each vCPU reads its own host's, and Linux the boot processor's for all.
 */
export function impliedHides(hosts: readonly HostFacts[]): readonly string[] {
  const models = new Set(hosts.map(signatureOf));
  return [
    ...(hosts.some(isEmulated) ? ["xsave"] : []),
    ...(models.size > 1 ? ["arch_capabilities"] : []),
  ];
}

function hiddenFeatures(policy: CpuidPolicy): readonly FeatureName[] {
  const names = [...groups.always, ...impliedHides(policy.hosts), ...policy.hide];
  return names.flatMap((name) => {
    const named = featuresNamed(name);
    if (named !== undefined) return named;
    throw new MachineError(`--hide-cpu "${name}": ${featureObstacle(name)}`);
  });
}

/** Leaves of the first host, each mask ANDed with all others'; a leaf that one lacks goes. */
function intersection(hosts: readonly HostFacts[]): Map<string, Leaf> {
  const [first, ...others] = hosts;
  if (first === undefined) throw new MachineError("no host offers a processor");
  const xcr0U64 = hosts.reduce((common, host) => common & host.xcr0U64, first.xcr0U64);
  const result = new Map<string, Leaf>(first.cpuid.map((entry) => [key(entry), { ...entry }]));
  for (const host of others) {
    const theirs = new Map(host.cpuid.map((entry) => [key(entry), entry]));
    for (const [name, leaf] of result) {
      const other = theirs.get(name);
      if (other === undefined || isStateBeyond(leaf, xcr0U64)) {
        result.delete(name);
        continue;
      }
      const mask = masks.find((each) => key(each) === name);
      for (const register of mask?.of ?? [])
        leaf[register] = (leaf[register] & other[register]) >>> 0;
      const isMax = leaf.leaf === 0 || leaf.leaf === 0x8000_0000 || key(leaf) === "7.0";
      if (isMax) leaf.eax = Math.min(leaf.eax, other.eax);
      if (leaf.leaf === 0xd) keepEqualState(leaf, other);
    }
  }
  const state = result.get(key({ leaf: 0xd, index: 0 }));
  if (state !== undefined) {
    state.eax = Number(xcr0U64 & 0xffff_ffffn);
    state.edx = Number(xcr0U64 >> 32n);
  }
  return result;
}

/** A sub-leaf of user state (SDM volume 1, 13.2) that XCR0 cannot enable on every host. */
function isStateBeyond(leaf: Leaf, xcr0U64: bigint): boolean {
  const user = leaf.leaf === 0xd && leaf.index >= 2 && (leaf.ecx & 1) === 0;
  return user && ((xcr0U64 >> BigInt(leaf.index)) & 1n) === 0n;
}

/** XSAVE areas: a component is shown only when all hosts put it in the same place. */
function keepEqualState(leaf: Leaf, other: CpuidEntry): void {
  if (leaf.index < 2) return;
  // Of the compacted format: from a multiple of 64 bytes.
  const aligned = (leaf.ecx ^ other.ecx) & 2;
  if (leaf.eax !== other.eax || leaf.ebx !== other.ebx || aligned !== 0) {
    throw new MachineError(
      `the hosts lay out processor state ${leaf.index} differently: use --hide-cpu xsave`,
    );
  }
}

function clearFeature(leaves: Map<string, Leaf>, name: FeatureName): void {
  const { leaf, index, register, bit } = features[name];
  const entry = leaves.get(key({ leaf, index }));
  if (entry) entry[register] = (entry[register] & ~(1 << bit)) >>> 0;
}

function change(leaves: Map<string, Leaf>, leaf: number, with_: (entry: Leaf) => void): void {
  const entry = leaves.get(key({ leaf, index: 0 }));
  if (entry) with_(entry);
}

function put(leaves: Map<string, Leaf>, leaf: number, values: Partial<Registers>): void {
  const name = key({ leaf, index: 0 });
  leaves.set(name, { leaf, index: 0, flags: 0, eax: 0, ebx: 0, ecx: 0, edx: 0, ...values });
}

/**
 * A hypervisor Linux knows, without any of its features: that alone makes it use x2APIC where no
 * interrupt remapping is, and skip the test of IRQ 0 (facts measured with Debian's 6.12).
 */
function hypervisor(leaves: Map<string, Leaf>): void {
  const [ebx, ecx, edx] = [0x4b4d_564b, 0x564b_4d56, 0x0000_004d];
  put(leaves, 0x4000_0000, { eax: 0x4000_0010, ebx, ecx, edx });
  put(leaves, 0x4000_0001, {});
}

/**
 * The rates of the TSC and of the local APIC's timer in kHz: VMware's leaf, which FreeBSD and
 * others read under any hypervisor. Intel's 0x15 would have to call the timer's 1 GHz the crystal,
 * and of
 * that Linux takes multiples by a product of 32 bits, which leaves an error of 100 ppm at some
 * rates: too much for a clock that is then believed. Linux gets `tsc_early_khz` instead.
 */
function rates(leaves: Map<string, Leaf>, tscKhz: number): void {
  put(leaves, 0x4000_0010, { eax: tscKhz, ebx: apicTimerKhz });
}

function applyTopology(leaves: Map<string, Leaf>, policy: CpuidPolicy, amd: boolean): void {
  const shift = packageShift(policy.nodes);
  change(leaves, 1, (leaf) => {
    // Initial APIC id 0: the data plane writes each vCPU's own.
    leaf.ebx = ((leaf.ebx & 0x0000_ffff) | (Math.min(255, 1 << shift) << 16)) >>> 0;
    leaf.edx = (shift > 0 ? leaf.edx | (1 << 28) : leaf.edx & ~(1 << 28)) >>> 0;
  });
  change(leaves, 0x8000_0001, (leaf) => {
    if (amd) leaf.ecx = (shift > 0 ? leaf.ecx | 2 : leaf.ecx & ~2) >>> 0;
  });
  change(leaves, 0x8000_0008, (leaf) => {
    const bits = Math.min(...policy.hosts.map((host) => host.physicalAddressBits));
    // Without five-level paging addresses have 48 bits on every host.
    leaf.eax = (48 << 8) | bits;
    leaf.ecx = amd ? ((shift << 12) | ((1 << shift) - 1)) >>> 0 : 0;
  });
  // No cache is shared between vCPUs, least of all between nodes.
  change(leaves, 0x8000_0006, (leaf) => {
    if (amd) leaf.edx = 0;
  });
  for (const leaf of leaves.values()) {
    if (leaf.leaf === 4) leaf.eax = ((leaf.eax & 0x3fff) | (((1 << shift) - 1) << 26)) >>> 0;
  }
  for (const leaf of topologyLeaves(shift)) leaves.set(key(leaf), { ...leaf });
}

/**
 * The CPUID table of the VM; each vCPU's APIC id is put in by the data plane.
 * @throws MachineError for mixed vendors or an unknown name to hide.
 */
export function cpuidTable(policy: CpuidPolicy): readonly CpuidEntry[] {
  const vendors = [...new Set(policy.hosts.map((host) => host.vendor))];
  if (vendors.length > 1) {
    throw new MachineError(
      `the nodes have processors of ${vendors.join(" and ")}: one VM needs one vendor`,
    );
  }
  const amd = vendors[0] !== "GenuineIntel";
  const hidden = hiddenFeatures(policy);
  const leaves = intersection(policy.hosts);
  for (const name of hidden) clearFeature(leaves, name);
  const noXsave = hidden.includes("xsave");
  for (const [name, leaf] of leaves) {
    if (noXsave && leaf.leaf === 0xd) leaves.delete(name);
    if (!shown.has(leaf.leaf)) leaves.delete(name);
  }
  change(leaves, 1, (leaf) => {
    leaf.ecx = (leaf.ecx | (1 << 31) | (1 << 21)) >>> 0;
    leaf.edx = (leaf.edx | (1 << 9)) >>> 0;
  });
  if (!leaves.has("6.0")) put(leaves, 6, {});
  change(leaves, 6, (leaf) => Object.assign(leaf, { eax: 1 << 2, ebx: 0, ecx: 0, edx: 0 }));
  if (!leaves.has("80000007.0")) put(leaves, 0x8000_0007, {});
  change(leaves, 0x8000_0007, (leaf) =>
    Object.assign(leaf, { eax: 0, ebx: 0, ecx: 0, edx: 1 << 8 }),
  );
  hypervisor(leaves);
  rates(leaves, policy.hosts[0]?.tscKhz ?? 0);
  applyTopology(leaves, policy, amd);
  const sorted = [...leaves.values()].toSorted((a, b) => a.leaf - b.leaf || a.index - b.index);
  return withMaxima(sorted);
}

/** Leaf 0 and 0x80000000 name the last leaf of their range that is there. */
function withMaxima(sorted: readonly Leaf[]): readonly CpuidEntry[] {
  const last = (from: number, to: number) =>
    Math.max(from, ...sorted.filter(({ leaf }) => leaf >= from && leaf < to).map((e) => e.leaf));
  return sorted.map((entry) => {
    if (entry.leaf === 0) return { ...entry, eax: last(0, 0x4000_0000) };
    if (entry.leaf === 0x8000_0000) return { ...entry, eax: last(0x8000_0000, 0x9000_0000) };
    return entry;
  });
}
