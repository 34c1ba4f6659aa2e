/** @module Nodes of one VM on the loopback, each a process with `giantvm run`. */

import { freePorts } from "../src/net/ports.ts";
import { type Started, start, type StartOptions } from "./program.ts";

/** "127.0.0.1:PORT" of so many nodes. */
export async function loopback(count: number): Promise<readonly string[]> {
  return (await freePorts(count)).map((port) => `127.0.0.1:${port}`);
}

/** What makes `giantvm run` the node `self` of these peers, with little memory. */
export function nodeWords(peers: readonly string[], self: string): readonly string[] {
  return ["run", "--local-memory", "64M", "--peers", peers.join(","), "--self", self];
}

/**
 * Starts a node for each of the peers.
 * @param own further words, of each node or of all alike.
 */
export function startNodes(
  peers: readonly string[],
  own: readonly string[] | ((node: number) => readonly string[]) = [],
  options: StartOptions = {},
): readonly Started[] {
  return peers.map((self, node) => {
    const more = typeof own === "function" ? own(node) : own;
    return start([...nodeWords(peers, self), ...more], options);
  });
}

/** On a busy machine a node may wait for its CPU for seconds. */
export const patient = ["--silence", "20000"] as const;

export function ended(nodes: readonly Started[]) {
  return Promise.all(nodes.map((node) => node.finished));
}
