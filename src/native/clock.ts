/** @module The clock of the data plane. */

import { library } from "./library.ts";

/**
 * CLOCK_MONOTONIC in nanoseconds, one for all processes of this host. Bun's process.hrtime counts
 * from the start of its process.
 */
export function monotonicNs(): bigint {
  return library().gvm_monotonic_ns();
}
