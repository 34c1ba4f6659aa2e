/** @module The reliable link: each message once, in order, whatever the network does. */

import { describe, expect, test } from "bun:test";
import { Random } from "../sim/random.ts";
import { decode, encode, type Wire } from "./cbor.ts";
import { isPart, ReliableLink } from "./reliable.ts";

const msU64 = 1_000_000n;

function message(length: number, seed = 1): Uint8Array {
  return Uint8Array.from({ length }, (_, index) => (index * seed) & 0xff);
}

/** Carries everything both ways until nothing is sent any more. */
function settle(a: ReliableLink, b: ReliableLink, nowNsU64: bigint): readonly Uint8Array[] {
  const got: Uint8Array[] = [];
  for (;;) {
    const there = a.poll(nowNsU64);
    const back = b.poll(nowNsU64);
    if (there.length + back.length === 0) return got;
    for (const body of there) got.push(...b.receive(body).messages);
    for (const body of back) a.receive(body);
  }
}

describe("messages", () => {
  test("of any length arrive whole and in order", () => {
    const [a, b] = [new ReliableLink(), new ReliableLink()];
    const sent = [0, 1, 1100, 1101, 2200, 50_000].map((length) => message(length, 7));
    for (const one of sent) a.send(one);
    expect(settle(a, b, 0n)).toEqual(sent);
    expect(a.waiting).toBe(0);
    expect([a.retransmissions, b.duplicates]).toEqual([0, 0]);
  });

  test("sent once carry no number and are not kept", () => {
    const [a, b] = [new ReliableLink(), new ReliableLink()];
    a.sendOnce(message(5));
    expect(a.waiting).toBe(0);
    const [body] = a.poll(0n);
    expect(isPart(body!)).toBe(false);
    expect(b.receive(body!)).toEqual({ messages: [message(5)] });
    expect(b.poll(0n)).toEqual([]);
  });

  test("arrive once though every frame does so twice", () => {
    const [a, b] = [new ReliableLink(), new ReliableLink()];
    a.send(message(3000));
    const bodies = a.poll(0n);
    const got = [...bodies, ...bodies].flatMap((body) => b.receive(body).messages);
    expect(got).toEqual([message(3000)]);
    expect(b.duplicates).toBe(bodies.length);
  });

  test("wait for a frame that is late", () => {
    const [a, b] = [new ReliableLink(), new ReliableLink()];
    for (const length of [10, 20, 30]) a.send(message(length));
    const [first, second, third] = a.poll(0n);
    expect(b.receive(third!).messages).toEqual([]);
    expect(b.receive(second!).messages).toEqual([]);
    expect(b.receive(first!).messages.map((one) => one.length)).toEqual([10, 20, 30]);
  });
});

describe("time", () => {
  test("a lost frame goes again after 50 ms, then after twice as long, at most a second", () => {
    const link = new ReliableLink();
    link.send(message(1));
    const sent: number[] = [];
    for (let ms = 0; ms < 5000; ms += 1) {
      if (link.poll(BigInt(ms) * msU64).length > 0) sent.push(ms);
    }
    expect(sent).toEqual([0, 50, 150, 350, 750, 1550, 2550, 3550, 4550]);
    expect(link.retransmissions).toBe(sent.length - 1);
  });

  test("an acknowledged frame never goes again", () => {
    const [a, b] = [new ReliableLink(), new ReliableLink()];
    a.send(message(9));
    settle(a, b, 0n);
    expect(a.poll(10_000n * msU64)).toEqual([]);
  });
});

describe("bounds", () => {
  test("32 frames are under way, the others wait for acknowledgements", () => {
    const [a, b] = [new ReliableLink(), new ReliableLink()];
    for (let i = 0; i < 100; i += 1) a.send(message(1, i));
    expect(a.poll(0n).length).toBe(32);
    expect(a.poll(0n).length).toBe(0);
    expect(settle(a, b, 100n * msU64).length).toBe(100);
  });

  test("a frame beyond the window is not kept", () => {
    const link = new ReliableLink();
    expect(link.receive(encode([1, 33, 0, message(1)])).dropped).toBe("refused");
    expect(link.receive(encode([1, 1, 0, message(2)])).messages.length).toBe(1);
    // Were it kept, number 33 would follow 32.
    for (let sequence = 2; sequence < 32; sequence += 1) {
      link.receive(encode([1, sequence, 0, message(1)]));
    }
    expect(link.receive(encode([1, 32, 0, message(1)])).messages.length).toBe(1);
  });

  test("a peer that takes nothing fills the queue and no more", () => {
    const link = new ReliableLink();
    const many = () => {
      for (let i = 0; i < 5000; i += 1) link.send(message(1));
    };
    expect(many).toThrow("control queue is full");
    expect(link.waiting).toBe(4096);
  });

  test("what is no frame changes nothing", () => {
    const good: readonly Wire[] = [1, 1, 0, message(3)];
    const bad: readonly Wire[] = [
      7,
      [],
      [1],
      [1, 1, 0],
      [1, 1, 0, "text"],
      [1, 1n, 0, message(1)],
      [1, 1, true, message(1)],
      [...good, 0],
      [2],
      [2, 1, 1],
      [3, 1],
      [9, 1, 0, message(1)],
    ];
    const link = new ReliableLink();
    for (const frame of bad) {
      expect({ frame, got: link.receive(encode(frame)) }).toEqual({
        frame,
        got: { messages: [], dropped: "malformed" },
      });
    }
    expect(link.receive(Uint8Array.of(0xff)).dropped).toBe("malformed");
    expect(link.poll(0n)).toEqual([]);
    expect(link.receive(encode(good)).messages).toEqual([message(3)]);
    expect(decode(link.poll(0n)[0]!)).toEqual([2, 1]);
  });
});

test("through loss, doubling and reorder: 40 seeds of 50 messages both ways", () => {
  for (let seed = 1; seed <= 40; seed += 1) {
    const random = new Random(seed);
    const links = [new ReliableLink(), new ReliableLink()];
    const sent = [0, 1].map((end) =>
      Array.from({ length: 50 }, (_, i) => message(random.below(4000), 1 + end + i)),
    );
    const got: Uint8Array[][] = [[], []];
    for (const [end, link] of links.entries()) for (const one of sent[end]!) link.send(one);
    const air: { readonly to: number; readonly body: Uint8Array; readonly at: number }[] = [];
    for (let ms = 0; links.some((link) => link.waiting > 0); ms += 1) {
      if (ms > 120_000) throw new Error(`seed ${seed}: never done`);
      for (const [end, link] of links.entries()) {
        for (const body of link.poll(BigInt(ms) * msU64)) {
          if (random.chance(20)) continue;
          for (let copy = 0; copy < (random.chance(10) ? 2 : 1); copy += 1) {
            air.push({ to: 1 - end, body, at: ms + 1 + random.below(30) });
          }
        }
      }
      for (const { to, body } of air.filter(({ at }) => at === ms)) {
        got[to]!.push(...links[to]!.receive(body).messages);
      }
    }
    expect({ seed, got }).toEqual({ seed, got: [sent[1]!, sent[0]!] });
  }
});
