/** @module One spelling for each IP address, so that addresses can be compared as text. */

import { isIPv4, isIPv6 } from "node:net";

export type Family = 4 | 6;

/** IPv4 in four numbers (also of an IPv4-mapped IPv6 address), IPv6 as in RFC 5952. */
export function canonical(address: string): string {
  if (!isIPv6(address) || address.includes("%")) return address;
  const short = new URL(`http://[${address}]`).hostname.slice(1, -1);
  const mapped = /^::ffff:([0-9a-f]{1,4}):([0-9a-f]{1,4})$/.exec(short);
  if (mapped === null) return short;
  const halves = [mapped[1], mapped[2]].map((text) => Number.parseInt(text ?? "0", 16));
  return halves.flatMap((half) => [half >> 8, half & 0xff]).join(".");
}

export function familyOf(address: string): Family {
  return isIPv4(address) ? 4 : 6;
}

/** Reaches this host alone. */
export function isLoopback(address: string): boolean {
  return address === "::1" || (isIPv4(address) && address.startsWith("127."));
}

/** fe80::/10 means nothing without the name of an interface, which differs from host to host. */
export function isLinkLocal(address: string): boolean {
  return /^fe[89ab]/i.test(address) && isIPv6(address.split("%")[0] ?? "");
}
