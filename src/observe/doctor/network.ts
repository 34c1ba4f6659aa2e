/** @module The network: frame size, socket buffers, and whether peers can be heard. */

import { lookup } from "node:dns/promises";
import { type Peer, peerLabel } from "../../config/peers.ts";
import { question, readAnswer } from "../../net/probe.ts";
import { fail, type Finding, ok, warn } from "./finding.ts";
import type { HostSource } from "./source.ts";

const mtuMin = 1280;
/** A page with its headers in one datagram. */
const mtuForPage = 4300;
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
function descriptor(socket: object): number {
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

const silenceMs = 700;

type Sound =
  | { readonly kind: "giantvm"; readonly build: string }
  | { readonly kind: "refused" | "silent" | "unreachable" };

type Heard = { readonly sound: Sound; readonly mtu: number | undefined };

/** A running giantvm answers a probe, a closed port with a refusal, a filter with nothing. */
async function listen(host: HostSource, address: string, port: number): Promise<Heard> {
  const { promise, resolve } = Promise.withResolvers<Sound>();
  const asked = question();
  const socket = await Bun.udpSocket({
    connect: { hostname: address, port },
    socket: {
      data: (_socket, bytes) => {
        const build = readAnswer(bytes, asked);
        if (build !== undefined) resolve({ kind: "giantvm", build });
      },
      error: (...problem: readonly unknown[]) => {
        resolve({ kind: problem.some(isRefusal) ? "refused" : "unreachable" });
      },
    },
  });
  const timer = setTimeout(() => resolve({ kind: "silent" }), silenceMs);
  try {
    socket.send(asked);
    return { sound: await promise, mtu: host.sockets.pathMtu(descriptor(socket)) };
  } finally {
    clearTimeout(timer);
    socket.close();
  }
}

function isRefusal(problem: unknown): boolean {
  return problem instanceof Error && "code" in problem && problem.code === "ECONNREFUSED";
}

function mtuText(mtu: number | undefined): string {
  if (mtu === undefined) return "";
  return `; packets of ${mtu} bytes${mtu >= mtuForPage ? ", a page fits one" : ""}`;
}

/** The port of --peers, and those the kernel gives to data sockets (net/ip-sysctl.rst). */
function portsText(host: HostSource, control: number): string {
  const range = host.text("/proc/sys/net/ipv4/ip_local_port_range")?.split(/\s+/).join("-");
  return `ports ${control} and ${range ?? "of the kernel's choice"}`;
}

/**
 * One finding per peer: the name resolves, the way there is open, and who is there.
 * @param build of this program; another one there would be refused at the handshake.
 */
export async function peer(host: HostSource, wanted: Peer, build: string): Promise<Finding> {
  const name = `peer ${peerLabel(wanted)}`;
  let address: string;
  try {
    ({ address } = await lookup(wanted.host));
  } catch {
    return fail(
      name,
      `the name ${wanted.host} has no address`,
      "correct the name or write the address",
    );
  }
  const unreachable: Heard = { sound: { kind: "unreachable" }, mtu: undefined };
  const { sound, mtu } = await listen(host, address, wanted.port).catch(() => unreachable);
  const path = mtuText(mtu);
  switch (sound.kind) {
    case "giantvm":
      if (sound.build === build) return ok(name, `${address}: this giantvm listens${path}`);
      return warn(
        name,
        `${address}: giantvm of build ${sound.build} listens, this one is ${build}${path}`,
        "copy the same executable to all hosts",
      );
    case "refused":
      return ok(name, `${address} answers; no giantvm listens there now${path}`);
    case "silent":
      return warn(
        name,
        `${address} does not answer: the host is down or a filter drops the datagrams${path}`,
        `start giantvm there; let UDP between the nodes pass, ${portsText(host, wanted.port)}`,
      );
    case "unreachable":
      return fail(name, `no way to ${address}`, "check the network, the route and the firewall");
    default:
      return sound satisfies never;
  }
}
