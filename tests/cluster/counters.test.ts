/** @module What a node that is sent nonsense leaves in its report: each datagram by its reason. */

import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { freePorts } from "../../src/net/ports.ts";
import { encode, type Wire } from "../../src/protocol/cbor.ts";
import { headerBytes, writeHeader } from "../../src/protocol/header.ts";
import { kvmMissing, start, temporaryFolder } from "../program.ts";

const missing = kvmMissing();
if (missing !== undefined) console.warn(`SKIPPED: counters of the control plane: ${missing}`);
const host = "127.0.0.1";

function datagramOf(frame: Wire, instanceU64 = 5n, toward = 0): Uint8Array {
  const body = encode(frame);
  const datagram = new Uint8Array(headerBytes + body.length);
  writeHeader({ instanceU64, toward, source: 1, destination: 0, packetU64: 1n }, datagram);
  datagram.set(body, headerBytes);
  return datagram;
}

function otherVersion(): Uint8Array {
  const datagram = datagramOf([2, 0]);
  datagram[2] = 7;
  return datagram;
}

async function socketAt(port: number) {
  const heard = Promise.withResolvers<void>();
  const socket = { data: () => heard.resolve(), error: () => {} };
  return { socket: await Bun.udpSocket({ hostname: host, port, socket }), heard: heard.promise };
}

describe.skipIf(missing !== undefined)("a node that is sent nonsense", () => {
  test("counts it in its report, beside what the data plane counts", async () => {
    using folder = temporaryFolder();
    const report = join(folder.path, "report");
    const [own = 0, other = 0] = await freePorts(2);
    const [peer, stranger] = [await socketAt(other), await socketAt(0)];
    const peers = `${host}:${own},${host}:${other}`;
    const self = `${host}:${own}`;
    const options = ["--peers", peers, "--self", self, "--report", report];
    const node = start(["run", "-v", "--local-memory", "64M", ...options]);
    // It greets: its socket is open.
    await peer.heard;
    const ping = datagramOf([3, encode([67, 1n])]);
    for (const datagram of [
      Uint8Array.of(1, 2, 3),
      datagramOf([9]),
      datagramOf([2, 1000]),
      datagramOf([2, 0], 5n, 0xffff_fffe),
      datagramOf([3, Uint8Array.of(0xff)]),
      ping,
    ]) {
      peer.socket.send(datagram, own, host);
    }
    stranger.socket.send(otherVersion(), own, host);
    stranger.socket.send(datagramOf([1, 1, 0, encode([73])]), own, host);
    // Answered when all before it has been looked at.
    await stranger.heard;
    node.process.kill("SIGTERM");
    await node.finished;
    for (const { socket } of [peer, stranger]) socket.close();
    const { counters } = await Bun.file(report).json();
    expect(counters).toMatchObject({
      controlReceived: 2,
      controlMalformed: 2,
      controlRefused: 1,
      controlStale: 1,
      controlUnreadable: 1,
      controlVersion: 1,
      controlForeign: 1,
      controlEarly: 0,
      droppedMalformed: 0,
    });
  });
});
