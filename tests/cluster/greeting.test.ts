/**
 * @module How processes that cannot become one machine tell each other: another order of the peers,
 * another version, a host that lacks something, a node that was started again, wrong addresses.
 */

import { describe, expect, test } from "bun:test";
import { decode, encode, type Wire } from "../../src/protocol/cbor.ts";
import { headerBytes, headerVersion } from "../../src/protocol/header.ts";
import { ended, loopback, nodeWords } from "../nodes.ts";
import { executable, kvmMissing, Log, type Started, start } from "../program.ts";

const missing = kvmMissing();
if (missing !== undefined) console.warn(`SKIPPED: greetings of a cluster: ${missing}`);
const root = process.getuid?.() === 0;
if (!root) console.warn("SKIPPED: a host without /dev/kvm: mount namespaces need root");

type Node = { readonly peers: readonly string[]; readonly self: string; readonly extra?: string[] };

function node({ peers, self, extra = [] }: Node): Started {
  return start([...nodeWords(peers, self), "-v", ...extra]);
}

/** No end came by a signal or by a time-out. */
async function ends(nodes: readonly Started[], code: number) {
  const all = await ended(nodes);
  expect(all.map((end) => [end.code, end.signal])).toEqual(all.map(() => [code, null]));
  return all.map((end) => end.stderr.trimEnd().split("\n").at(-1) ?? "");
}

/** A control-plane datagram of one unacknowledged-so-far message. */
function greeting(message: Wire, version = headerVersion): Uint8Array {
  const body = encode([1, 1, 0, encode(message)]);
  const datagram = new Uint8Array(headerBytes + body.length);
  const view = new DataView(datagram.buffer);
  view.setUint16(0, 0x4756);
  view.setUint8(2, version);
  view.setBigUint64(8, 77n);
  datagram.set(body, headerBytes);
  return datagram;
}

/** Sends a datagram again and again until `done`; collects what comes back. */
async function peerOfAnotherTime(port: number, target: number, datagram: Uint8Array) {
  const heard: Uint8Array[] = [];
  const socket = await Bun.udpSocket({
    hostname: "127.0.0.1",
    port,
    socket: { data: (_socket, data) => void heard.push(data), error: () => {} },
  });
  const timer = setInterval(() => {
    try {
      socket.send(datagram, target, "127.0.0.1");
    } catch {
      // It is not there yet.
    }
  }, 20);
  const close = () => {
    clearInterval(timer);
    socket.close();
  };
  return { heard, close };
}

/** Messages inside datagrams, of any frame. */
function messagesOf(datagrams: readonly Uint8Array[]): readonly Wire[] {
  return datagrams.flatMap((datagram) => {
    const frame = decode(datagram.subarray(headerBytes));
    const bytes = Array.isArray(frame) ? (frame as readonly Wire[]).at(-1) : undefined;
    try {
      return bytes instanceof Uint8Array ? [decode(bytes)] : [];
    } catch {
      return []; // One part of several.
    }
  });
}

describe.skipIf(missing !== undefined)("nodes that differ", () => {
  for (const count of [2, 3]) {
    test(`${count} nodes, one with the peers in another order`, async () => {
      const peers = await loopback(count);
      const nodes = peers.slice(0, -1).map((self) => node({ peers, self }));
      // All wait before the odd one comes: who starts after the end hears nothing of it.
      await Promise.all(nodes.map((one) => one.logged("node ")));
      nodes.push(node({ peers: peers.toReversed(), self: peers.at(-1)! }));
      for (const sentence of await ends(nodes, 4)) {
        expect(sentence).toContain(peers.join(","));
        expect(sentence).toContain(peers.toReversed().join(","));
        expect(sentence).toContain("name the same nodes in the same order everywhere");
      }
    });
  }

  test("a node that the others do not name is told so", async () => {
    const peers = await loopback(3);
    const short = node({ peers: peers.slice(0, 2), self: peers[0]! });
    const third = node({ peers, self: peers[2]! });
    const [sentence] = await ends([third], 4);
    expect(sentence).toContain(`(${peers[0]}) was not given ${peers[2]} in --peers`);
    expect(sentence).toContain("by address where a name has another one there");
    // The first still waits for its second.
    short.process.kill("SIGTERM");
    await ends([short], 143);
  });

  test("a peer of another protocol: both sides get the sentence", async () => {
    const peers = await loopback(2);
    const [own = 0, other = 0] = peers.map((peer) => Number(peer.split(":")[1]));
    const hello = greeting([64, 99, "later", "whatever", [1n]]);
    const foreign = await peerOfAnotherTime(other, own, hello);
    const [sentence] = await ends([node({ peers, self: peers[0]! })], 4);
    foreign.close();
    expect(sentence).toContain(`node 1 (${peers[1]}) speaks protocol 99 (build later)`);
    expect(sentence).toContain("run the same giantvm on all nodes");
    const told = messagesOf(foreign.heard).find((one) => Array.isArray(one) && one[0] === 69);
    expect(told).toEqual([69, 1, 6, 4, sentence!.replace("giantvm: ", "")]);
  });

  test("a peer whose datagrams cannot be read", async () => {
    const peers = await loopback(2);
    const [own = 0, other = 0] = peers.map((peer) => Number(peer.split(":")[1]));
    const foreign = await peerOfAnotherTime(other, own, greeting([64], headerVersion + 1));
    const [sentence] = await ends([node({ peers, self: peers[0]! })], 4);
    foreign.close();
    expect(sentence).toContain(`node 1 (${peers[1]}) sends datagrams of version 2`);
    expect(sentence).toContain("run the same giantvm on all nodes");
  });

  test("a coherence guard that one node switches off is a disagreement", async () => {
    const peers = await loopback(2);
    const off = ["--guard-off", "protect_before_read"];
    const nodes = peers.map((self, index) => node({ peers, self, extra: index === 1 ? off : [] }));
    const sentences = await ends(nodes, 4);
    for (const sentence of sentences) {
      expect(sentence).toContain("has --guard-off protect_before_read");
    }
    expect((await nodes[1]!.finished).stderr).toContain("--guard-off is for tests alone");
  });
});

describe.skipIf(missing !== undefined)("nodes that fail", () => {
  test.skipIf(!root)("a host without /dev/kvm: the others hear it, with its name", async () => {
    const peers = await loopback(3);
    const waiting = [0, 1].map((index) => node({ peers, self: peers[index]! }));
    await Promise.all(waiting.map((one) => one.logged("node ")));
    const without = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs none /dev && exec "$@"'];
    const hidden = Bun.spawn(
      [...without, "sh", executable, "run", "--peers", peers.join(","), "--self", peers[2]!],
      { stdin: "ignore", stdout: "pipe", stderr: "pipe" },
    );
    const log = new Log();
    await Promise.all([log.read(hidden.stderr), hidden.exited]);
    expect([hidden.exitCode, hidden.signalCode]).toEqual([3, null]);
    expect(log.text).toContain("giantvm: kvm: there is no /dev/kvm");
    for (const sentence of await ends(waiting, 3)) {
      expect(sentence).toContain(`giantvm: node 2 (${peers[2]}): kvm: there is no /dev/kvm`);
    }
  });

  test("a node that is started again while others greet is taken in", async () => {
    const peers = await loopback(3);
    // What is tested is who is taken in; a loaded machine shall not lose anybody.
    const extra = ["--silence", "60000"];
    const first = node({ peers, self: peers[0]!, extra });
    const before = node({ peers, self: peers[1]!, extra });
    await first.logged(`node 1 (${peers[1]}) greets`);
    before.process.kill("SIGKILL");
    await before.finished;
    const after = node({ peers, self: peers[1]!, extra });
    // Had all three agreed with the one before, it would be a lost node.
    await after.logged(`node 0 (${peers[0]}) greets`);
    const all = [first, after, node({ peers, self: peers[2]!, extra })];
    await Promise.all(all.map((one) => one.logged("the VM runs")));
    first.process.kill("SIGTERM");
    await ends(all, 143);
  }, 120_000);
});
