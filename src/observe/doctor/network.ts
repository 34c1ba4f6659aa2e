/** @module The network: frame size, socket buffers, and whether peers can be heard. */

import { lookup } from "node:dns/promises";
import { fail, type Finding, ok, warn } from "./finding.ts";
import type { HostSource } from "./source.ts";

const mtuMin = 1280;
/** A page with its headers in one datagram. */
const mtuForPage = 4300;
const bufferWanted = 4 << 20;

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
    return [ok(label, mtu >= mtuForPage ? `${mtu}: a page fits one datagram` : String(mtu))];
  });
}

export function socketBuffers(host: HostSource): Finding {
  const bytes = Number(host.text("/proc/sys/net/core/rmem_max") ?? "0");
  if (bytes >= bufferWanted) return ok("socket buffer", `${bytes} bytes`);
  return warn(
    "socket buffer",
    `net.core.rmem_max is ${bytes} bytes: bursts of pages may be lost and sent again`,
    `sysctl -w net.core.rmem_max=${bufferWanted}`,
  );
}

/** Splits `host:port`, `[v6]:port`, `host` and a bare IPv6 address. */
export function splitPeer(peer: string): { readonly host: string; readonly port: number | null } {
  const bracketed = /^\[([^\]]+)\](?::(\d+))?$/.exec(peer);
  const plain = /^([^:]+)(?::(\d+))?$/.exec(peer);
  const [, host = peer, port] = bracketed ?? plain ?? [];
  return { host, port: port === undefined ? null : Number(port) };
}

const silenceMs = 700;

/** A datagram nobody asked for: a closed port answers with a refusal, a filter with nothing. */
async function sound(address: string, port: number): Promise<"refused" | "silent" | "unreachable"> {
  const { promise, resolve } = Promise.withResolvers<"refused" | "silent" | "unreachable">();
  const socket = await Bun.udpSocket({
    connect: { hostname: address, port },
    socket: {
      error: (...problem: readonly unknown[]) => {
        resolve(problem.some(isRefusal) ? "refused" : "unreachable");
      },
    },
  });
  const timer = setTimeout(() => resolve("silent"), silenceMs);
  try {
    socket.send(new Uint8Array(0));
    return await promise;
  } finally {
    clearTimeout(timer);
    socket.close();
  }
}

function isRefusal(problem: unknown): boolean {
  return problem instanceof Error && "code" in problem && problem.code === "ECONNREFUSED";
}

/** One finding per peer: the name resolves, the way there is open. */
export async function peer(text: string, portDefault: number): Promise<Finding> {
  const name = `peer ${text}`;
  const { host, port } = splitPeer(text);
  let address: string;
  try {
    ({ address } = await lookup(host));
  } catch {
    return fail(name, `the name ${host} has no address`, "correct the name or write the address");
  }
  const answer = await sound(address, port ?? portDefault).catch(() => "unreachable" as const);
  switch (answer) {
    case "refused":
      return ok(name, `${address} answers; no giantvm listens there now`);
    case "silent":
      return ok(name, `${address}: nothing refused the datagram (a giantvm or a filter)`);
    case "unreachable":
      return fail(name, `no way to ${address}`, "check the network, the route and the firewall");
  }
}
