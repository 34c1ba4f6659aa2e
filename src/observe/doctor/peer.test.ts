/** @module What the doctor makes of a peer's answers, refusals and silence, small and large. */

import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { ipv6Missing } from "../../../tests/ipv6.ts";
import { answerTo } from "../../net/probe.ts";
import { datagramBytes, datagramBytesMax, peer } from "./peer.ts";
import { type HostSource, realHost } from "./source.ts";

const noSix = ipv6Missing();
if (noSix !== undefined) console.warn(`SKIPPED: a peer's IPv6: ${noSix}`);

function host(pathMtu: () => number | undefined): HostSource {
  const sockets = { receiveBuffer: () => undefined, pathMtu };
  const range = "32768\t60999";
  return { ...realHost(() => undefined, sockets), text: () => range };
}

type Peer = { readonly build?: string; readonly bytesMax?: number; readonly answersMax?: number };

/** A peer that answers probes that are no larger than the network between lets through. */
async function listener(
  { build, bytesMax = 65_536, answersMax = 9 }: Peer,
  hostname = "127.0.0.1",
) {
  const sizes: number[] = [];
  const askers = new Set<string>();
  const socket = await Bun.udpSocket({
    hostname,
    port: 0,
    socket: {
      data: (own, bytes, port, address) => {
        sizes.push(bytes.length);
        askers.add(address);
        const answer = build === undefined ? undefined : answerTo(bytes, build);
        if (answer === undefined || bytes.length > bytesMax || sizes.length > answersMax) return;
        own.send(answer, port, address);
      },
    },
  });
  return { sizes, askers, port: socket.port, [Symbol.dispose]: () => socket.close() };
}

async function examine(what: Peer, pathMtu: () => number | undefined = () => 1500) {
  using there = await listener(what);
  const wanted = { host: "here", address: "127.0.0.1", port: there.port, own: undefined };
  return { ...(await peer(host(pathMtu), wanted, "b1")), sizes: there.sizes, port: there.port };
}

test("who answers listens, and datagrams of the engine's size arrive", async () => {
  const { level, found, sizes } = await examine({ build: "b1" });
  expect(level).toBe("ok");
  expect(found).toEndWith(": this giantvm listens; datagrams of 1472 bytes arrive");
  expect(sizes).toEqual([64, 1472]);
  const jumbo = await examine({ build: "b1" }, () => 9000);
  expect(jumbo.found).toEndWith("; datagrams of 8972 bytes arrive, a page fits one");
});

test.skipIf(noSix !== undefined)("by IPv6 as well", async () => {
  using there = await listener({ build: "b1" }, "::1");
  const wanted = { host: "here", address: "::1", port: there.port, own: undefined };
  expect(
    await peer(
      host(() => 1500),
      wanted,
      "b1",
    ),
  ).toEqual({
    name: `peer here:${there.port}`,
    level: "ok",
    found: "::1: this giantvm listens; datagrams of 1452 bytes arrive",
    cure: null,
  });
});

test("it is asked from the address that a node here would have", async () => {
  using there = await listener({ build: "b1" });
  const wanted = { host: "here", address: "127.0.0.1", port: there.port, own: "127.0.0.9" };
  expect(
    await peer(
      host(() => 1500),
      wanted,
      "b1",
    ),
  ).toMatchObject({ level: "ok" });
  expect([...there.askers]).toEqual(["127.0.0.9"]);
});

test("large datagrams that do not arrive where small ones do fail, with a cure", async () => {
  const { level, found, cure, sizes } = await examine({ build: "b1", bytesMax: 1472 }, () => 9000);
  expect(level).toBe("fail");
  expect(found).toEndWith("small datagrams arrive, those of 8972 bytes do not");
  expect(cure).toContain("ip link set DEVICE mtu 1500");
  // Each silence is believed only when a small question is answered behind it.
  expect(sizes).toEqual([64, 8972, 64, 8972, 64, 8972, 64]);
});

test("a way that turns out to be narrower is asked again with what fits", async () => {
  const known = [9000, 9000, 9000, 1400];
  const { level, found } = await examine({ build: "b1", bytesMax: 1372 }, () => known.shift());
  expect(level).toBe("ok");
  expect(found).toEndWith("; datagrams of 1372 bytes arrive");
});

test("silence to large questions is no sign where small ones are not heard any more", async () => {
  const { level, found, sizes } = await examine({ build: "b1", answersMax: 1 });
  expect(level).toBe("ok");
  expect(found).toEndWith("; whether large datagrams arrive is not known");
  expect(sizes).toEqual([64, 1472, 64]);
});

test("another build is a remark, and its silence to large questions is not judged", async () => {
  const { level, found, sizes } = await examine({ build: "b2", bytesMax: 64 });
  expect(level).toBe("warn");
  expect(found).toEndWith("giantvm of build b2 listens, this one is b1");
  expect(sizes).toEqual([64]);
});

test("a refusal is no proof that the way is open", async () => {
  const closed = await listener({});
  closed[Symbol.dispose]();
  const { level, found } = await peer(
    host(() => 1500),
    { host: "here", address: "127.0.0.1", port: closed.port, own: undefined },
    "b1",
  );
  expect(level).toBe("ok");
  expect(found).toMatch(/refuses: no giantvm listens there now, or a filter rejects/);
  expect(found).toEndWith("; datagrams of 1472 bytes arrive");
});

test("a silent peer is a remark with the ports, a name without address fails", async () => {
  const { level, found, cure, port } = await examine({});
  expect(level).toBe("warn");
  expect(found).toContain("does not answer");
  expect(cure).toEndWith(`, ports ${port} and 32768-60999`);
  const nowhere = await peer(
    host(() => 1500),
    { host: "nowhere.invalid", address: undefined, port: 1, own: undefined },
    "b1",
  );
  expect(nowhere).toMatchObject({ level: "fail", found: expect.stringContaining("no address") });
});

test("a question is as large as the engine's datagrams", () => {
  const limits = readFileSync(join(import.meta.dir, "../../../native/zig/limits.zig"), "utf8");
  const stated = /datagram_bytes_max = ([\d_]+);/.exec(limits)![1]!;
  expect(datagramBytesMax).toBe(Number(stated.replace("_", "")));
  expect(datagramBytes(1500, "10.0.0.1")).toBe(1472);
  expect(datagramBytes(1500, "fd00::1")).toBe(1452);
  expect(datagramBytes(65_536, "127.0.0.1")).toBe(65_000);
  expect(datagramBytes(576, "10.0.0.1")).toBe(1232);
});
