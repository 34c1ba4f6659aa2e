/** @module How much of this host's memory the guest may take: docs/host-setup.md. */

const pageBytes = 4096;
const mib = 1 << 20;
/** More than a guest can have (src/protocol/agreement.ts). */
const pagesMax = 2 ** 31;
const cacheBytesUsual = 64 * mib;
/** For all else on this host, the tables of the guest's pages among it. */
const restBytesLeast = 256 * mib;

/** What all vCPUs' next instructions need should not be given up before they are made. */
export function cacheBytesLeast(cpus: number): number {
  return Math.max(16, cpus) * mib;
}

function pages(bytes: number): number {
  return Math.min(Math.floor(bytes / pageBytes), pagesMax);
}

/**
 * @param cacheBytes For pages of other nodes, as asked for.
 * @param availableMib Memory of this host that nobody uses, before the guest takes any; undefined
 * where that is not known.
 * @returns pages of the node's own share and of other nodes together; 0 for no limit.
 */
export function takenMaxPages(
  ownBytes: number,
  cacheBytes: number | undefined,
  availableMib: number | undefined,
): number {
  if (cacheBytes !== undefined) return pages(ownBytes + cacheBytes);
  if (availableMib === undefined) return 0;
  const available = availableMib * mib;
  const most = available - Math.max(restBytesLeast, available / 16);
  return pages(Math.max(most, ownBytes + cacheBytesUsual));
}
