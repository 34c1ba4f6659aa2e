/** @module Names to addresses, and which of the peers this host is. */

import { lookup } from "node:dns/promises";
import { networkInterfaces } from "node:os";
import { Failure, exitCode } from "../cli/failure.ts";
import { type Peer, parseHost, peerLabel } from "../config/peers.ts";
import {
  canonical,
  type Family,
  familyOf,
  isLinkLocal,
  isLoopback,
  isSelfAssigned,
  orderOf,
} from "./canonical.ts";

export type ResolvedPeer = Peer & { readonly address: string };

/** All addresses of a name, canonical. */
export type Lookup = (host: string) => Promise<readonly string[]>;

/** By getaddrinfo(3), so that what getent finds is found (mDNS, winbind, containers). */
const system: Lookup = async (host) =>
  (await lookup(host, { all: true })).map(({ address }) => address);

function usage(text: string): Failure {
  return new Failure(exitCode.usage, text);
}

/**
 * Those by which other hosts may reach it. Debian's installer writes 127.0.1.1 for the own name
 * into /etc/hosts, where the address of the network may stand beside it. Where all nodes are on
 * one host nothing else may remain.
 */
function useful(addresses: readonly string[]): readonly string[] {
  return [isSelfAssigned, isLoopback].reduce((left, poor) => {
    const better = left.filter((one) => !poor(one));
    return better.length === 0 ? left : better;
  }, addresses);
}

/**
 * Of several addresses the first in an order that is the same everywhere: resolvers sort by what
 * suits their own host, or in turns.
 */
function chosen(addresses: readonly string[], family?: Family): string | undefined {
  const fit = addresses.filter((one) => family === undefined || familyOf(one) === family);
  return fit.toSorted((a, b) => (orderOf(a) < orderOf(b) ? -1 : 1))[0];
}

async function addressesOf(peer: Peer, find: Lookup): Promise<readonly string[]> {
  try {
    return useful((await find(peer.host)).map(canonical));
  } catch {
    throw new Failure(
      exitCode.peers,
      `--peers ${peer.host}: the name cannot be resolved; give an address or mend DNS`,
    );
  }
}

/** The family in which every node has an address: one socket serves all peers. */
function sharedFamily(found: readonly (readonly string[])[]): Family | undefined {
  return ([4, 6] as const).find((family) =>
    found.every((addresses) => addresses.some((one) => familyOf(one) === family)),
  );
}

function commonFamily(peers: readonly Peer[], found: readonly (readonly string[])[]): Family {
  const common = sharedFamily(found);
  if (common !== undefined) return common;
  const only = (family: Family) =>
    peers.find((_, index) => found[index]?.every((one) => familyOf(one) === family))?.host;
  throw usage(
    `--peers mixes IPv4 (${only(4)}) and IPv6 (${only(6)}): ` +
      "give all nodes by addresses of one kind",
  );
}

function refuseUnreachable(peers: readonly ResolvedPeer[]): void {
  const linkLocal = peers.find(({ address }) => isLinkLocal(address));
  if (linkLocal !== undefined) {
    throw usage(
      `--peers ${linkLocal.host}: a link-local address has no meaning on another host; ` +
        "give a global (or unique local) address",
    );
  }
  const loopback = peers.find(({ address }) => isLoopback(address));
  const outside = peers.find(({ address }) => !isLoopback(address));
  if (loopback !== undefined && outside !== undefined) {
    throw usage(
      `--peers ${loopback.host} is ${loopback.address}, which ${outside.host} cannot reach: ` +
        "give the address that host has in the network (or mend /etc/hosts)",
    );
  }
}

function refuseTwice(peers: readonly ResolvedPeer[]): void {
  for (const [index, peer] of peers.entries()) {
    const other = peers
      .slice(0, index)
      .find((one) => one.address === peer.address && one.port === peer.port);
    if (other === undefined) continue;
    throw usage(
      `--peers ${peerLabel(other)} and ${peerLabel(peer)} are the same address ` +
        `(${peer.address}): give each node of one host its own port`,
    );
  }
}

/** @throws Failure, one sentence, when these peers cannot talk to each other. */
export async function resolvePeers(
  peers: readonly Peer[],
  find: Lookup = system,
): Promise<readonly ResolvedPeer[]> {
  const found = await Promise.all(peers.map((peer) => addressesOf(peer, find)));
  const family = commonFamily(peers, found);
  const resolved = peers.map((peer, index) => {
    const address = chosen(found[index] ?? [], family) ?? "";
    return { ...peer, address };
  });
  refuseUnreachable(resolved);
  refuseTwice(resolved);
  return resolved;
}

/**
 * The address that a node would use for each peer: as resolvePeers, but what is wrong with some
 * (undefined: the name has none) is no matter to the others.
 */
export async function peerAddresses(
  peers: readonly Peer[],
  find: Lookup = system,
): Promise<readonly (string | undefined)[]> {
  const found = await Promise.all(peers.map((peer) => addressesOf(peer, find).catch(() => [])));
  const family = sharedFamily(found.filter((addresses) => addresses.length > 0));
  return found.map((all) => chosen(all, family) ?? chosen(all));
}

function ownAddresses(): ReadonlySet<string> {
  return new Set(
    Object.values(networkInterfaces()).flatMap((list) =>
      (list ?? []).map((one) => canonical(one.address)),
    ),
  );
}

/** Whether --self means this peer: a name or an address in any spelling, with or without port. */
function isNamed(peer: ResolvedPeer, self: ReturnType<typeof parseHost>): boolean {
  const named = self.host.toLowerCase() === peer.host.toLowerCase();
  if (!named && canonical(self.host) !== peer.address) return false;
  return self.port === undefined || self.port === peer.port;
}

/** Index of this node among the peers: by --self, else by the one address that is this host's. */
export function findSelf(
  peers: readonly ResolvedPeer[],
  self: string | undefined,
  own: ReadonlySet<string> = ownAddresses(),
): number {
  const label = peerLabel;
  if (self !== undefined) {
    const given = parseHost(self, "--self");
    const matches = peers.flatMap((peer, index) => (isNamed(peer, given) ? [index] : []));
    if (matches.length === 1) return matches[0] ?? 0;
    const what = matches.length === 0 ? "is none of" : "fits several of";
    throw usage(
      `--self ${self} ${what} --peers ${peers.map(label).join(",")}; ` +
        "name one of them, with its port",
    );
  }
  if (peers.length === 1) return 0;
  const mine = peers.flatMap((peer, index) => (own.has(peer.address) ? [index] : []));
  if (mine.length === 1) return mine[0] ?? 0;
  const several = mine.flatMap((index) => peers.slice(index, index + 1).map(label));
  throw usage(
    mine.length === 0
      ? `none of --peers ${peers.map(label).join(",")} is an address of this host; give --self`
      : `several of --peers are addresses of this host (${several.join(", ")}); give --self`,
  );
}
