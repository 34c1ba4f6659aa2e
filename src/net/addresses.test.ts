/** @module Which address a name means, which lists of peers can never work, which peer is self. */

import { expect, test } from "bun:test";
import { parsePeers } from "../config/peers.ts";
import { findSelf, peerAddresses, resolvePeers } from "./addresses.ts";
import { canonical } from "./canonical.ts";

const hosts: Readonly<Record<string, readonly string[]>> = {
  both: ["2001:db8:0:0::1", "10.0.0.1"],
  other: ["10.0.0.2", "2001:DB8::2"],
  six: ["2001:db8::6"],
  // What Debian's installer writes into /etc/hosts for the own name.
  debian: ["127.0.1.1"],
  localhost: ["::1", "127.0.0.1"],
  cards: ["127.0.1.1", "10.0.0.10", "169.254.0.1", "10.0.0.9"],
  cable: ["169.254.0.1", "127.0.1.1"],
  wide: ["fe80::2", "2001:db8::1:0:0:9", "2001:DB8::9", "2001:db8::10", "::1"],
  newer: ["127.0.1.1", "fe80::3", "2001:db8::3"],
  alone: ["fe80::4", "127.0.1.1"],
};

async function find(host: string): Promise<readonly string[]> {
  const known = hosts[host.toLowerCase()];
  if (known !== undefined) return known;
  if (/^[0-9.]+$|:/.test(host)) return [host];
  throw new Error("ENOTFOUND");
}

async function backwards(host: string): Promise<readonly string[]> {
  return (await find(host)).toReversed();
}

async function resolved(list: string, lookup = find): Promise<string> {
  const peers = await resolvePeers(parsePeers(list), lookup);
  return peers.map(({ address, port }) => `${address} ${port}`).join(", ");
}

async function refusal(list: string): Promise<string> {
  return resolved(list).then(
    () => "accepted",
    (error: Error) => error.message,
  );
}

test("an address has one spelling", () => {
  for (const spelling of ["::1", "0:0:0:0:0:0:0:1", "0000::0001", "::0:1"]) {
    expect(canonical(spelling)).toBe("::1");
  }
  expect(canonical("2001:DB8:0:0:1::AB")).toBe("2001:db8::1:0:0:ab");
  expect(canonical("::ffff:10.0.0.1")).toBe("10.0.0.1");
  expect(canonical("10.0.0.1")).toBe("10.0.0.1");
});

test("names take the family all nodes have, IPv4 first", async () => {
  expect(await resolved("both,other")).toBe("10.0.0.1 7777, 10.0.0.2 7777");
  expect(await resolved("both,six")).toBe("2001:db8::1 7777, 2001:db8::6 7777");
  expect(await resolved("[0:0:0:0:0:0:0:1]:5,localhost:6")).toBe("::1 5, ::1 6");
  expect(await resolved("debian:5,localhost:6")).toBe("127.0.1.1 5, 127.0.0.1 6");
});

test("of a name's addresses every host takes the same, one by which others reach it", async () => {
  for (const lookup of [find, backwards]) {
    expect(await resolved("cards,other", lookup)).toBe("10.0.0.9 7777, 10.0.0.2 7777");
    expect(await resolved("wide,six", lookup)).toBe("2001:db8::9 7777, 2001:db8::6 7777");
    // The family is one in which all are reached.
    expect(await resolved("newer,other", lookup)).toBe("2001:db8::3 7777, 2001:db8::2 7777");
    expect(await resolved("alone:5,cable:6", lookup)).toBe("127.0.1.1 5, 127.0.1.1 6");
    const [card] = await peerAddresses(parsePeers("cards"), lookup);
    expect(card).toBe("10.0.0.9");
  }
});

test("names are looked up as getent does", async () => {
  // Bun's own resolver takes a short address for a name; what NSS alone knows is lost on it, too.
  const peers = await resolvePeers(parsePeers("10.1,10.2"));
  expect(peers.map(({ address }) => address)).toEqual(["10.0.0.1", "10.0.0.2"]);
});

test("peers that can never reach each other are refused with a sentence", async () => {
  expect(await refusal("10.0.0.1,six")).toContain("mixes IPv4 (10.0.0.1) and IPv6 (six)");
  expect(await refusal("debian,other")).toContain("debian is 127.0.1.1, which other cannot reach");
  expect(await refusal("10.0.0.3,localhost")).toContain("localhost is 127.0.0.1, which 10.0.0.3");
  expect(await refusal("[fe80::1%eth0]:7,six")).toContain("link-local");
  expect(await refusal("fe80::1,six")).toContain("link-local");
  expect(await refusal("localhost:1,127.0.0.1:1")).toContain("are the same address (127.0.0.1)");
  expect(await refusal("nowhere,other")).toContain("nowhere: the name cannot be resolved");
});

test("self is the one peer that is an address of this host", async () => {
  const peers = await resolvePeers(parsePeers("both,other"), find);
  expect(findSelf(peers, undefined, new Set(["10.0.0.2", "127.0.0.1"]))).toBe(1);
  expect(() => findSelf(peers, undefined, new Set(["10.9.9.9"]))).toThrow("none of --peers");
  expect(() => findSelf(peers, undefined, new Set(["10.0.0.1", "10.0.0.2"]))).toThrow("several of");
});

test("--self may be a name, an address in any spelling, with or without port", async () => {
  const peers = await resolvePeers(parsePeers("both,six:9"), find);
  for (const self of ["six", "six:9", "2001:db8::6", "[2001:DB8:0::6]", "[2001:DB8:0::6]:9"]) {
    expect(findSelf(peers, self)).toBe(1);
  }
  for (const self of ["SIX", "Six:9"]) expect(findSelf(peers, self)).toBe(1);
  expect(() => findSelf(peers, "[2001:db8::6]:8")).toThrow("is none of --peers");
  expect(() => findSelf(peers, "six:8")).toThrow("--self six:8 is none of --peers");
  expect(() => findSelf(peers, "six:0")).toThrow('--self "six:0": give host, host:port or');
  expect(() => findSelf(peers, "ten")).toThrow("--self ten is none of --peers");
});

test("--self finds one of two nodes on one host by its address and port", async () => {
  const peers = await resolvePeers(parsePeers("both:7777,Both:7778,other"), find);
  for (const self of ["10.0.0.1:7778", "BOTH:7778", "[::ffff:10.0.0.1]:7778"]) {
    expect(findSelf(peers, self)).toBe(1);
  }
  expect(findSelf(peers, "10.0.0.2")).toBe(2);
  expect(() => findSelf(peers, "10.0.0.1")).toThrow("fits several of --peers");
  expect(() => findSelf(peers, "10.0.0.1:7779")).toThrow("is none of --peers");
});
