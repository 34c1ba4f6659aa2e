/** @module Which processor a host has: family, model and stepping of CPUID's leaf 1 (EAX). */

import type { HostFacts } from "../node/dataplane.ts";

/** All that tells one model from another, as one number; 0 where KVM does not tell. */
export function signatureOf(host: Pick<HostFacts, "cpuid">): number {
  return host.cpuid.find((entry) => entry.leaf === 1)?.eax ?? 0;
}

/** The extended family added, as the manuals print it. */
export function familyOf(host: Pick<HostFacts, "cpuid">): number {
  const version = signatureOf(host);
  const base = (version >>> 8) & 0xf;
  return base === 0xf ? base + ((version >>> 20) & 0xff) : base;
}

/** As /proc/cpuinfo has the three numbers. */
export function modelText(host: Pick<HostFacts, "cpuid">): string {
  const version = signatureOf(host);
  const base = (version >>> 8) & 0xf;
  const extended = base === 6 || base === 0xf ? (version >>> 16) & 0xf : 0;
  const model = (extended << 4) | ((version >>> 4) & 0xf);
  return `family ${familyOf(host)} model ${model} stepping ${version & 0xf}`;
}
