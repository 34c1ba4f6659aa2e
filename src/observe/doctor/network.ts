/** @module The network as this host has it: frame size and socket buffers. */

import { type Finding, ok, warn } from "./finding.ts";
import type { HostSource } from "./source.ts";

export const mtuMin = 1280;
/** A page with its headers in one datagram. */
export const mtuForPage = 4300;
/** Below it bursts are lost; what the engine asks for (native/zig/sys/udp.zig) is the cure. */
const bufferLeast = 4 << 20;
const bufferWanted = 8 << 20;

export function interfaces(host: HostSource): readonly Finding[] {
  return host.interfaces().flatMap((name): readonly Finding[] => {
    const text = host.text(`/sys/class/net/${name}/mtu`);
    if (text === undefined) return [];
    const mtu = Number(text);
    const label = `mtu of ${name}`;
    if (mtu < mtuMin) {
      return [
        warn(label, `${mtu}: below ${mtuMin}`, `ip link set ${name} mtu 1500, or use another link`),
      ];
    }
    const several = `several datagrams, one from ${mtuForPage} on`;
    return [ok(label, `${mtu}: a page is ${mtu >= mtuForPage ? "one datagram" : several}`)];
  });
}

/** The grant counts the kernel's own use, so it is twice what was asked for. */
const grantFactor = 2;

/** Bun's types do not name the descriptor; it is there. */
export function descriptor(socket: object): number {
  return "fd" in socket && typeof socket.fd === "number" ? socket.fd : -1;
}

async function granted(host: HostSource): Promise<number | undefined> {
  const socket = await Bun.udpSocket({ hostname: "127.0.0.1", port: 0 });
  try {
    const bytes = host.sockets.receiveBuffer(descriptor(socket), bufferWanted);
    return bytes === undefined ? undefined : bytes / grantFactor;
  } finally {
    socket.close();
  }
}

/** Root is given more than the administrator's limits; others need them raised. */
export async function socketBuffers(host: HostSource): Promise<Finding> {
  const name = "socket buffer";
  const limits = ["rmem_max", "wmem_max"].map((each) => {
    const bytes = Number(host.text(`/proc/sys/net/core/${each}`) ?? "0");
    return { setting: `net.core.${each}`, bytes };
  });
  const bytes = await granted(host);
  if (bytes !== undefined && bytes >= bufferLeast) return ok(name, `${bytes} bytes granted`);
  const small = limits.filter((limit) => limit.bytes < bufferLeast);
  if (bytes === undefined && small.length === 0) return ok(name, `${bufferLeast} bytes allowed`);
  const found = small.map((limit) => `${limit.setting} is ${limit.bytes}`).join(", ");
  const got = bytes === undefined ? "" : `, ${bytes} bytes granted`;
  return warn(
    name,
    `${found}${got}: bursts of pages may be lost and sent again`,
    `sysctl -w ${small.map((limit) => `${limit.setting}=${bufferWanted}`).join(" ")}`,
  );
}
