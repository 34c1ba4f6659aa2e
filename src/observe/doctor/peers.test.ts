/** @module What the doctor makes of the list of --peers: what a node would, in its words. */

import { expect, test } from "bun:test";
import { ipv6Missing } from "../../../tests/ipv6.ts";
import { parsePeers } from "../../config/peers.ts";
import { examine } from "./index.ts";
import { peerList } from "./peers.ts";
import { realHost } from "./source.ts";

const noSix = ipv6Missing();
if (noSix !== undefined) console.warn(`SKIPPED: the doctor's peers by IPv6: ${noSix}`);

const names: Readonly<Record<string, readonly string[]>> = {
  // What Debian's installer writes into /etc/hosts for the own name.
  debian: ["127.0.1.1"],
  other: ["203.0.113.2"],
  six: ["2001:db8::6"],
  localhost: ["127.0.0.1"],
  both: ["::1", "127.0.0.1"],
  loopback6: ["::1"],
};

async function find(name: string): Promise<readonly string[]> {
  if (name === "nowhere") throw new Error("ENOTFOUND");
  return names[name] ?? [name];
}

async function listOf(list: string, self?: string) {
  return peerList({ peers: parsePeers(list), self }, find);
}

for (const [list, self, sentence] of [
  [
    "debian,other",
    undefined,
    "--peers debian is 127.0.1.1, which other cannot reach: " +
      "give the address that host has in the network (or mend /etc/hosts)",
  ],
  [
    "localhost:1,six",
    undefined,
    "--peers mixes IPv4 (localhost) and IPv6 (six): give all nodes by addresses of one kind",
  ],
  [
    "fe80::1,six",
    undefined,
    "--peers fe80::1: a link-local address has no meaning on another host; " +
      "give a global (or unique local) address",
  ],
  [
    "localhost:1,127.0.0.1:1",
    undefined,
    "--peers localhost:1 and 127.0.0.1:1 are the same address (127.0.0.1): " +
      "give each node of one host its own port",
  ],
  [
    "203.0.113.1,other",
    undefined,
    "none of --peers 203.0.113.1:7777,other:7777 is an address of this host; give --self",
  ],
  [
    "localhost:1,localhost:2",
    undefined,
    "several of --peers are addresses of this host (localhost:1, localhost:2); give --self",
  ],
  [
    "localhost:1,localhost:2",
    "other",
    "--self other is none of --peers localhost:1,localhost:2; name one of them, with its port",
  ],
  [
    "203.0.113.1,other",
    "other",
    "203.0.113.2 is not an address of this host: give the right one with --self",
  ],
] as const) {
  test(`${list}${self === undefined ? "" : ` --self ${self}`}: refused as by run`, async () => {
    const { findings, own, addresses } = await listOf(list, self);
    expect(findings).toMatchObject([{ name: "peers", level: "fail", found: sentence }]);
    expect(findings[0]!.cure).toContain("giantvm run ends with this sentence");
    expect(own).toBeUndefined();
    expect(addresses).not.toContain(undefined);
  });
}

test("a list that a node takes says which of them it is, and where it would be bound", async () => {
  expect(await listOf("localhost:1,127.0.0.7:2", "127.0.0.7:2")).toEqual({
    findings: [
      { name: "peers", level: "ok", found: "this host is node 1 of 2, 127.0.0.7", cure: null },
    ],
    addresses: ["127.0.0.1", "127.0.0.7"],
    own: "127.0.0.7",
  });
});

test("one address alone is asked, whoever it is", async () => {
  expect(await listOf("other")).toEqual({
    findings: [],
    addresses: ["203.0.113.2"],
    own: undefined,
  });
});

test("a name without address is told of its peer, not of the list", async () => {
  expect(await listOf("localhost,nowhere")).toEqual({
    findings: [],
    addresses: ["127.0.0.1", undefined],
    own: undefined,
  });
});

const sockets = { receiveBuffer: () => undefined, pathMtu: () => 1500 };
const host = realHost(() => undefined, sockets);

async function asked(...hosts: readonly string[]) {
  const peers = hosts.map((each) => ({ host: each, port: 1 }));
  const findings = await examine(host, { peers }, "b1", find);
  const found = findings.filter(({ name }) => name.startsWith("peer "));
  return found.map((each) => `${each.level} ${each.found}`);
}

/** Nobody has a port 1, and this host says so. */
function refuses(address: string, bytes: number): string {
  return (
    `ok ${address} refuses: no giantvm listens there now, or a filter rejects what is sent ` +
    `(ask again while one runs there); datagrams of ${bytes} bytes arrive`
  );
}

test("peers are asked where a node would ask them", async () => {
  const four = refuses("127.0.0.1", 1472);
  expect(await asked("both")).toEqual([four]);
  expect(await asked("both", "nowhere")).toEqual([four, "fail the name nowhere has no address"]);
});

test.skipIf(noSix !== undefined)("by IPv6 where some have nothing else", async () => {
  const six = refuses("::1", 1452);
  expect(await asked("both", "loopback6")).toEqual([six, six]);
});
