/** @module CPU features that get hidden: the CPUID bit of each (AMD APM 3, Intel SDM 2A). */

export type Register = "eax" | "ebx" | "ecx" | "edx";

type Place = {
  readonly leaf: number;
  readonly index: number;
  readonly register: Register;
  readonly bit: number;
};

function at(leaf: number, register: Register, bit: number, index = 0): Place {
  return { leaf, index, register, bit };
}

const extended = 0x8000_0001;

export const features = {
  dtes64: at(1, "ecx", 2),
  monitor: at(1, "ecx", 3),
  vmx: at(1, "ecx", 5),
  smx: at(1, "ecx", 6),
  fma: at(1, "ecx", 12),
  pdcm: at(1, "ecx", 15),
  tsc_deadline: at(1, "ecx", 24),
  xsave: at(1, "ecx", 26),
  osxsave: at(1, "ecx", 27),
  avx: at(1, "ecx", 28),
  f16c: at(1, "ecx", 29),
  ds: at(1, "edx", 21),
  sgx: at(7, "ebx", 2),
  avx2: at(7, "ebx", 5),
  rdt_m: at(7, "ebx", 12),
  mpx: at(7, "ebx", 14),
  rdt_a: at(7, "ebx", 15),
  avx512f: at(7, "ebx", 16),
  avx512dq: at(7, "ebx", 17),
  avx512ifma: at(7, "ebx", 21),
  intel_pt: at(7, "ebx", 25),
  avx512cd: at(7, "ebx", 28),
  avx512bw: at(7, "ebx", 30),
  avx512vl: at(7, "ebx", 31),
  avx512vbmi: at(7, "ecx", 1),
  pku: at(7, "ecx", 3),
  ospke: at(7, "ecx", 4),
  waitpkg: at(7, "ecx", 5),
  avx512vbmi2: at(7, "ecx", 6),
  vaes: at(7, "ecx", 9),
  vpclmulqdq: at(7, "ecx", 10),
  avx512vnni: at(7, "ecx", 11),
  avx512bitalg: at(7, "ecx", 12),
  avx512vpopcntdq: at(7, "ecx", 14),
  la57: at(7, "ecx", 16),
  sgx_lc: at(7, "ecx", 30),
  pks: at(7, "ecx", 31),
  avx512_4vnniw: at(7, "edx", 2),
  avx512_4fmaps: at(7, "edx", 3),
  uintr: at(7, "edx", 5),
  avx512vp2intersect: at(7, "edx", 8),
  arch_lbr: at(7, "edx", 19),
  amx_bf16: at(7, "edx", 22),
  avx512fp16: at(7, "edx", 23),
  amx_tile: at(7, "edx", 24),
  amx_int8: at(7, "edx", 25),
  arch_capabilities: at(7, "edx", 29),
  avxvnni: at(7, "eax", 4, 1),
  avx512bf16: at(7, "eax", 5, 1),
  amx_fp16: at(7, "eax", 21, 1),
  avxifma: at(7, "eax", 23, 1),
  avxvnniint8: at(7, "edx", 4, 1),
  avxneconvert: at(7, "edx", 5, 1),
  amx_complex: at(7, "edx", 8, 1),
  avxvnniint16: at(7, "edx", 10, 1),
  // Its leaf, 0x24, is not told.
  avx10: at(7, "edx", 19, 1),
  svm: at(extended, "ecx", 2),
  ibs: at(extended, "ecx", 10),
  xop: at(extended, "ecx", 11),
  skinit: at(extended, "ecx", 12),
  lwp: at(extended, "ecx", 15),
  fma4: at(extended, "ecx", 16),
  topoext: at(extended, "ecx", 22),
  perfctr_core: at(extended, "ecx", 23),
  perfctr_nb: at(extended, "ecx", 24),
  perftsc: at(extended, "ecx", 27),
  perfctr_llc: at(extended, "ecx", 28),
  mwaitx: at(extended, "ecx", 29),
  invlpgb: at(0x8000_0008, "ebx", 3),
} as const satisfies Record<string, Place>;

export type FeatureName = keyof typeof features;

/**
 * Hidden together. `always`: nested virtualization (its host writes guest pages past the page
 * tables), five-level paging (only more page-table pages), performance monitoring and tracing (host
 * buffers in guest memory), waiting instructions (they would occupy a host CPU), broadcast TLB
 * flushes (they stop at the host's edge), extended topology (ours is told elsewhere). `xsave`:
 * everything that needs its state.
 */
export const groups = {
  always: [
    "la57",
    "svm",
    "skinit",
    "vmx",
    "smx",
    "pdcm",
    "dtes64",
    "ds",
    "monitor",
    "mwaitx",
    "waitpkg",
    "invlpgb",
    "topoext",
    "lwp",
    "ibs",
    "osxsave",
    "ospke",
    "perfctr_core",
    "perfctr_nb",
    "perfctr_llc",
    "perftsc",
    "intel_pt",
    "arch_lbr",
    "sgx",
    "sgx_lc",
    "rdt_m",
    "rdt_a",
    "uintr",
    "avx10",
    "amx_bf16",
    "amx_tile",
    "amx_int8",
    "amx_fp16",
    "amx_complex",
  ],
  xsave: [
    "xsave",
    "osxsave",
    "avx",
    "avx2",
    "fma",
    "f16c",
    "pku",
    "ospke",
    "pks",
    "mpx",
    "vaes",
    "vpclmulqdq",
    "xop",
    "fma4",
    "lwp",
    "avx512f",
    "avx512dq",
    "avx512ifma",
    "avx512cd",
    "avx512bw",
    "avx512vl",
    "avx512vbmi",
    "avx512vbmi2",
    "avx512vnni",
    "avx512bitalg",
    "avx512vpopcntdq",
    "avx512_4vnniw",
    "avx512_4fmaps",
    "avx512fp16",
    "avx512vp2intersect",
    "avxvnni",
    "avx512bf16",
    "avxifma",
    "avxvnniint8",
    "avxneconvert",
    "avxvnniint16",
    "amx_bf16",
    "amx_tile",
    "amx_int8",
  ],
} as const satisfies Record<string, readonly FeatureName[]>;

/** The features behind a name or a group; undefined for a name that is neither. */
export function featuresNamed(name: string): readonly FeatureName[] | undefined {
  if (Object.hasOwn(groups, name)) return groups[name as keyof typeof groups];
  return Object.hasOwn(features, name) ? [name as FeatureName] : undefined;
}

/** Why a name cannot be hidden, and what can; undefined when it can. */
export function featureObstacle(name: string): string | undefined {
  if (featuresNamed(name) !== undefined) return undefined;
  const like = Object.keys(features).filter((each) => each.startsWith(name.slice(0, 3)));
  const near = like.length === 0 ? "" : `, or one of ${like.slice(0, 5).join(", ")}`;
  const known = "give a flag of /proc/cpuinfo such as avx512f, the group xsave";
  return `no CPU feature known here; ${known}${near}`;
}
