/** @module Whether this machine speaks IPv6 at all, if only with itself. */

import { networkInterfaces } from "node:os";

/** Why nothing can be asked by IPv6 here; undefined when it can. */
export function ipv6Missing(): string | undefined {
  const all = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
  return all.some(({ address }) => address === "::1") ? undefined : "no ::1 on this machine";
}
