/** @module The list of nodes: `host`, `host:port`, `[v6]:port`, `v6`, by commas or blanks. */

import { Failure, exitCode } from "../cli/failure.ts";

export const defaultPort = 7777;
const nodesMax = 64;

export type Peer = { readonly host: string; readonly port: number };

/** As the user would write it: IPv6 in brackets. */
export function peerLabel({ host, port }: Peer): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

/** One of them as it is written; the port is undefined where none is. */
export function parseHost(
  text: string,
  option: string,
): { readonly host: string; readonly port: number | undefined } {
  const bracketed = /^\[([0-9a-fA-F:.%\w]+)\](?::(\d+))?$/.exec(text);
  const plain = /^([^:[\]\s]+)(?::(\d+))?$/.exec(text);
  const bare = /^[0-9a-fA-F]*:[0-9a-fA-F:.]*:[0-9a-fA-F:.]*$/.test(text);
  const match = bracketed ?? (bare ? undefined : plain);
  const host = bare ? text : match?.[1];
  const port = match?.[2] === undefined ? undefined : Number(match[2]);
  if (host === undefined || (port !== undefined && (port < 1 || port > 65535))) {
    throw new Failure(
      exitCode.usage,
      `${option} "${text}": give host, host:port or [v6-address]:port, ports from 1 to 65535`,
    );
  }
  return { host, port };
}

export function parsePeers(text: string): readonly Peer[] {
  const peers = text
    .split(/[\s,]+/)
    .filter((word) => word !== "")
    .map((word) => {
      const { host, port = defaultPort } = parseHost(word, "--peers");
      return { host, port };
    });
  if (peers.length === 0 || peers.length > nodesMax) {
    throw new Failure(exitCode.usage, `--peers "${text}": name 1 to ${nodesMax} nodes`);
  }
  const seen = new Set<string>();
  for (const peer of peers) {
    const key = peerLabel(peer);
    if (seen.has(key)) {
      throw new Failure(
        exitCode.usage,
        `--peers names ${key} twice: give each node of one host its own port`,
      );
    }
    seen.add(key);
  }
  return peers;
}
