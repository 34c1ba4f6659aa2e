/** @module Names to addresses, and which of the peers this host is. */

import { lookup } from "node:dns/promises";
import { networkInterfaces } from "node:os";
import { Failure, exitCode } from "../cli/failure.ts";
import { type Peer, peerLabel } from "../config/peers.ts";

export type ResolvedPeer = Peer & { readonly address: string };

export async function resolvePeers(peers: readonly Peer[]): Promise<readonly ResolvedPeer[]> {
  return Promise.all(
    peers.map(async (peer) => {
      try {
        const { address } = await lookup(peer.host);
        return { ...peer, address };
      } catch {
        throw new Failure(
          exitCode.peers,
          `--peers ${peer.host}: the name cannot be resolved; give an address or mend DNS`,
        );
      }
    }),
  );
}

function ownAddresses(): ReadonlySet<string> {
  return new Set(
    Object.values(networkInterfaces()).flatMap((list) => (list ?? []).map((one) => one.address)),
  );
}

/** Index of this node among the peers: by --self, else by the one address that is this host's. */
export function findSelf(peers: readonly ResolvedPeer[], self: string | undefined): number {
  const label = peerLabel;
  if (self !== undefined) {
    const matches = peers.flatMap((peer, index) =>
      self === peer.host || self === label(peer) || self === peer.address ? [index] : [],
    );
    if (matches.length === 1) return matches[0] ?? 0;
    const what = matches.length === 0 ? "is none of" : "fits several of";
    throw new Failure(
      exitCode.usage,
      `--self ${self} ${what} --peers ${peers.map(label).join(",")}; ` +
        "name one of them, with its port",
    );
  }
  if (peers.length === 1) return 0;
  const own = ownAddresses();
  const mine = peers.flatMap((peer, index) => (own.has(peer.address) ? [index] : []));
  if (mine.length === 1) return mine[0] ?? 0;
  const several = mine.flatMap((index) => peers.slice(index, index + 1).map(label));
  throw new Failure(
    exitCode.usage,
    mine.length === 0
      ? `none of --peers ${peers.map(label).join(",")} is an address of this host; give --self`
      : `several of --peers are addresses of this host (${several.join(", ")}); give --self`,
  );
}
