/** @module The list of --peers as `giantvm run` takes it, and which of them this host is. */

import { Failure } from "../../cli/failure.ts";
import type { Peer } from "../../config/peers.ts";
import { findSelf, type Lookup, peerAddresses, resolvePeers } from "../../net/addresses.ts";
import { openSocket } from "../../net/socket.ts";
import { fail, type Finding, ok } from "./finding.ts";

/** The nodes as they are given; `self` is --self. */
export type Given = {
  readonly peers: readonly Peer[];
  readonly self?: string | undefined;
};

export type List = {
  readonly findings: readonly Finding[];
  /** Of each peer; undefined where its name has none, which is a finding of that peer. */
  readonly addresses: readonly (string | undefined)[];
  /** The address that a node here would be bound to; undefined where that is not known. */
  readonly own: string | undefined;
};

const name = "peers";
const unused = (): void => {};

/** @throws Failure as the start of a node does, but for its port, which one that runs has. */
async function asNode({ peers, self }: Given, find?: Lookup): Promise<List> {
  const resolved = await resolvePeers(peers, find);
  const addresses = resolved.map(({ address }) => address);
  // One alone may be any host that somebody wants to know of; a node would be that one.
  if (peers.length === 1 && self === undefined) return { findings: [], addresses, own: undefined };
  const node = findSelf(resolved, self);
  const own = addresses[node] ?? "";
  (await openSocket({ address: own, port: 0 }, unused, unused)).close();
  const text = `this host is node ${node} of ${peers.length}, ${own}`;
  return { findings: [ok(name, text)], addresses, own };
}

/** What a node would make of the list; where it would refuse it, its sentence. */
export async function peerList(given: Given, find?: Lookup): Promise<List> {
  if (given.peers.length === 0) return { findings: [], addresses: [], own: undefined };
  try {
    return await asNode(given, find);
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    const addresses = await peerAddresses(given.peers, find);
    const cure =
      "giantvm run ends with this sentence: correct the list, the same on all hosts" +
      (given.self === undefined ? "" : ", or --self");
    const nameless = addresses.includes(undefined);
    return {
      findings: nameless ? [] : [fail(name, error.message, cure)],
      addresses,
      own: undefined,
    };
  }
}
