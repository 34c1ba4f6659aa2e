/** @module The control plane's UDP socket: bound to one address, outlives a peer's absence. */

import { Failure, exitCode } from "../cli/failure.ts";
import type { Endpoint } from "../protocol/channel.ts";
import { canonical } from "./canonical.ts";

export type ControlSocket = {
  send(bytes: Uint8Array, to: Endpoint): void;
  close(): void;
};

/** Of a node alone: it has nobody to send to. */
export const nobody: ControlSocket = { send: () => {}, close: () => {} };

/** Errors that an earlier datagram met at the peer, or a full buffer: as good as lost. */
const passing = new Set(["ECONNREFUSED", "EAGAIN", "ENOBUFS", "EHOSTUNREACH", "EINTR"]);

/**
 * @param receive bytes of a datagram with where it came from.
 * @param trouble said once for each peer to which this host cannot send at all, and why.
 */
export async function openSocket(
  at: Endpoint,
  receive: (bytes: Uint8Array, from: Endpoint) => void,
  trouble: (to: Endpoint, code: string) => void,
): Promise<ControlSocket> {
  const told = new Set<string>();
  try {
    const socket = await Bun.udpSocket({
      hostname: at.address,
      port: at.port,
      socket: {
        data: (_socket, data, port, address) =>
          receive(data, { port, address: canonical(address) }),
        // A peer that is not there (yet) answers with ICMP; silence and the engine decide.
        error: () => {},
      },
    });
    return {
      send: (bytes, to) => {
        try {
          socket.send(bytes, to.port, to.address);
        } catch (error) {
          // What must arrive is sent again.
          const code = error instanceof Error ? codeOf(error) : String(error);
          const what = `${to.address} ${code}`;
          if (passing.has(code) || told.has(what)) return;
          told.add(what);
          trouble(to, code);
        }
      },
      close: () => socket.close(),
    };
  } catch (error) {
    throw openFailure(error, at);
  }
}

function openFailure(error: unknown, { address, port }: Endpoint): Failure {
  const text = error instanceof Error ? `${error.name} ${error.message} ${codeOf(error)}` : "";
  if (/EADDRINUSE/.test(text)) {
    return new Failure(
      exitCode.usage,
      `UDP port ${port} on ${address} is in use: end the other giantvm or give another port`,
      { cause: error },
    );
  }
  if (/EADDRNOTAVAIL/.test(text)) {
    return new Failure(
      exitCode.usage,
      `${address} is not an address of this host: give the right one with --self`,
      { cause: error },
    );
  }
  const what = `UDP ${address}:${port} cannot be opened: ${text}`;
  return new Failure(exitCode.host, what, { cause: error });
}

function codeOf(error: Error): string {
  return "code" in error ? String(error.code) : "";
}
