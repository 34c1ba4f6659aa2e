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

/** Sorts canonical addresses of one family by their bytes, as text. */
export function orderOf(address: string): string {
  if (isIPv4(address)) {
    const numbers = address.split(".").map((each) => each.padStart(3, "0"));
    return numbers.join(".");
  }
  const [before = [], after = []] = address
    .split("::")
    .map((half) => half.split(":").filter((group) => group !== ""));
  const zeros = Array<string>(Math.max(8 - before.length - after.length, 0)).fill("0");
  return [...before, ...zeros, ...after].map((group) => group.padStart(4, "0")).join(":");
}

/** Reaches this host alone. */
export function isLoopback(address: string): boolean {
  return address === "::1" || (isIPv4(address) && address.startsWith("127."));
}

/** What a host gives itself where nobody else gives it an address (RFC 3927, RFC 4291). */
export function isSelfAssigned(address: string): boolean {
  return isLinkLocal(address) || (isIPv4(address) && address.startsWith("169.254."));
}

/** fe80::/10 means nothing without the name of an interface, which differs from host to host. */
export function isLinkLocal(address: string): boolean {
  return /^fe[89ab]/i.test(address) && isIPv6(address.split("%")[0] ?? "");
}
