/** @module The control plane's UDP socket: bound to one address, outlives a peer's absence. */

import { Failure, exitCode } from "../cli/failure.ts";

export type ControlSocket = {
  send(bytes: Uint8Array, port: number, address: string): void;
  close(): void;
};

/** @param receive bytes of a datagram with where it came from. */
export async function openSocket(
  address: string,
  port: number,
  receive: (bytes: Uint8Array, port: number, address: string) => void,
): Promise<ControlSocket> {
  try {
    const socket = await Bun.udpSocket({
      hostname: address,
      port,
      socket: {
        data: (_socket, data, fromPort, fromAddress) => receive(data, fromPort, fromAddress),
        // A peer that is not there (yet) answers with ICMP; silence and the engine decide.
        error: () => {},
      },
    });
    return {
      send: (bytes, toPort, toAddress) => {
        try {
          socket.send(bytes, toPort, toAddress);
        } catch {
          // An earlier datagram met a closed port, or the buffer is full: as good as lost, and what
          // must arrive is sent again.
        }
      },
      close: () => socket.close(),
    };
  } catch (error) {
    const text = error instanceof Error ? `${error.name} ${error.message} ${codeOf(error)}` : "";
    if (/EADDRINUSE/.test(text)) {
      throw new Failure(
        exitCode.usage,
        `UDP port ${port} on ${address} is in use: end the other giantvm or give another port`,
        { cause: error },
      );
    }
    if (/EADDRNOTAVAIL/.test(text)) {
      throw new Failure(
        exitCode.usage,
        `${address} is not an address of this host: give the right one with --self`,
        { cause: error },
      );
    }
    throw new Failure(exitCode.host, `UDP ${address}:${port} cannot be opened: ${text}`, {
      cause: error,
    });
  }
}

function codeOf(error: Error): string {
  return "code" in error ? String(error.code) : "";
}
