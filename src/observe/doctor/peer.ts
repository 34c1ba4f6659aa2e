/** @module A peer: is it heard, who listens there, and do datagrams of the engine's size arrive? */

import { type Peer, peerLabel } from "../../config/peers.ts";
import { familyOf } from "../../net/canonical.ts";
import { question, questionBytes, readAnswer } from "../../net/probe.ts";
import { fail, type Finding, ok, warn } from "./finding.ts";
import { descriptor, mtuForPage, mtuMin } from "./network.ts";
import type { HostSource } from "./source.ts";

const silenceMs = 700;
/** One that is lost is no proof. */
const largeTries = 3;

/** As native/zig/limits.zig says, of the payload. */
export const datagramBytesMax = 65_000;
const headerBytes = { four: 28, six: 48 } as const;

/** How many bytes the engine fills a datagram with (native/zig/engine/engine.zig, makeLink). */
export function datagramBytes(mtu: number, address: string): number {
  const heads = address.includes(":") ? headerBytes.six : headerBytes.four;
  return Math.min(Math.max(mtu - heads, mtuMin - headerBytes.six), datagramBytesMax);
}

type Sound =
  | { readonly kind: "giantvm"; readonly build: string }
  | { readonly kind: "refused" | "silent" | "unreachable" };

type Place = {
  readonly address: string;
  readonly port: number;
  /** Where a node here would ask from: a host of several cards has several. */
  readonly own: string | undefined;
};
type Heard = { readonly sound: Sound; readonly mtu: number; readonly bytes: number };

const small = (): number => questionBytes;

/** One question, `bytes` long: of the largest IP packet that the kernel knows to take the way. */
async function ask(host: HostSource, place: Place, bytes: (mtu: number) => number): Promise<Heard> {
  const { promise, resolve } = Promise.withResolvers<Sound>();
  const asked = question(datagramBytesMax);
  // As plain as the engine's sockets, so the kernel forbids fragments here as it does there.
  // Without a name of its own it would be a socket of IPv4.
  const any = familyOf(place.address) === 6 ? "::" : "0.0.0.0";
  const socket = await Bun.udpSocket({
    hostname: place.own ?? any,
    connect: { hostname: place.address, port: place.port },
    socket: {
      data: (_socket, datagram) => {
        const build = readAnswer(datagram, asked);
        if (build !== undefined) resolve({ kind: "giantvm", build });
      },
      error: (...problem: readonly unknown[]) => resolve({ kind: kindOf(problem) }),
    },
  });
  const timer = setTimeout(() => resolve({ kind: "silent" }), silenceMs);
  try {
    const mtu = host.sockets.pathMtu(descriptor(socket)) ?? mtuMin;
    const length = bytes(mtu);
    try {
      socket.send(asked.subarray(0, length));
    } catch (error) {
      resolve({ kind: kindOf([error]) });
    }
    return { sound: await promise, mtu, bytes: length };
  } finally {
    clearTimeout(timer);
    socket.close();
  }
}

/** A running giantvm answers, a closed port refuses, a filter refuses or is silent. */
async function listen(host: HostSource, place: Place, bytes: (mtu: number) => number) {
  const unreachable: Heard = { sound: { kind: "unreachable" }, mtu: 0, bytes: 0 };
  return ask(host, place, bytes).catch(() => unreachable);
}

/** Lost on the way, or too large for a router, of which the kernel learns it for the next one. */
const losses = new Set<unknown>(["EAGAIN", "ENOBUFS", "EMSGSIZE"]);

function kindOf(problem: readonly unknown[]): "refused" | "silent" | "unreachable" {
  const codes = problem.map((each) => (each instanceof Error && "code" in each ? each.code : ""));
  if (codes.includes("ECONNREFUSED")) return "refused";
  return codes.some((code) => losses.has(code)) ? "silent" : "unreachable";
}

function arrived({ sound }: Heard): boolean {
  return sound.kind === "giantvm" || sound.kind === "refused";
}

/**
 * Whether datagrams as large as the engine's arrive where a small one did. Silence is theirs only
 * when a small one is still heard after it; undefined when it is not: whoever refuses may do so
 * only so often (icmp_ratelimit in net/ip-sysctl.rst).
 */
async function askLarge(host: HostSource, place: Place): Promise<Heard | undefined> {
  for (let tries = 1; ; tries += 1) {
    const large = await listen(host, place, (mtu) => datagramBytes(mtu, place.address));
    if (arrived(large)) return large;
    if (!arrived(await listen(host, place, small))) return undefined;
    if (tries === largeTries) return large;
  }
}

/** What is known of someone who was heard, and of the size of frames on the way there. */
async function frames(host: HostSource, name: string, place: Place, who: string): Promise<Finding> {
  const large = await askLarge(host, place);
  if (large === undefined) return ok(name, `${who}; whether large datagrams arrive is not known`);
  const { bytes, mtu } = large;
  if (arrived(large)) {
    const page = mtu >= mtuForPage ? ", a page fits one" : "";
    return ok(name, `${who}; datagrams of ${bytes} bytes arrive${page}`);
  }
  const least = mtu > 1500 ? 1500 : mtuMin;
  return fail(
    name,
    `${who}; small datagrams arrive, those of ${bytes} bytes do not`,
    `lower the MTU on both hosts to what the network takes (ip link set DEVICE mtu ${least}), or ` +
      `let every switch between them take packets of ${mtu} bytes`,
  );
}

/** The port of --peers, and those the kernel gives to data sockets (net/ip-sysctl.rst). */
function portsText(host: HostSource, control: number): string {
  const range = host.text("/proc/sys/net/ipv4/ip_local_port_range")?.split(/\s+/).join("-");
  return `ports ${control} and ${range ?? "of the kernel's choice"}`;
}

/**
 * One finding per peer: the name resolves, the way there is open, and who is there.
 * @param wanted its address is undefined where its name has none.
 * @param build of this program; another one there would be refused at the handshake.
 */
export async function peer(
  host: HostSource,
  wanted: Peer & Pick<Place, "own"> & { readonly address: string | undefined },
  build: string,
): Promise<Finding> {
  const name = `peer ${peerLabel(wanted)}`;
  const { address } = wanted;
  if (address === undefined) {
    return fail(
      name,
      `the name ${wanted.host} has no address`,
      "correct the name or write the address",
    );
  }
  const place = { address, port: wanted.port, own: wanted.own };
  const { sound } = await listen(host, place, small);
  switch (sound.kind) {
    case "giantvm":
      if (sound.build === build) {
        return frames(host, name, place, `${address}: this giantvm listens`);
      }
      // An older one may not answer large questions; with the same build this is asked again.
      return warn(
        name,
        `${address}: giantvm of build ${sound.build} listens, this one is ${build}`,
        "copy the same executable to all hosts",
      );
    case "refused":
      return frames(
        host,
        name,
        place,
        `${address} refuses: no giantvm listens there now, or a filter rejects what is sent ` +
          "(ask again while one runs there)",
      );
    case "silent":
      return warn(
        name,
        `${address} does not answer: the host is down or a filter drops the datagrams`,
        `start giantvm there; let UDP between the nodes pass, ${portsText(host, wanted.port)}`,
      );
    case "unreachable":
      return fail(name, `no way to ${address}`, "check the network, the route and the firewall");
    default:
      return sound satisfies never;
  }
}
