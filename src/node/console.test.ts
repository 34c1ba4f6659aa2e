/** @module The guest's console where its serial port is, where its terminal is, and elsewhere. */

import { expect, test } from "bun:test";
import type { ControlMessage } from "../protocol/messages.ts";
import { GuestConsole } from "./console.ts";

/** Serial port on node 0, terminal on node 1, unless another is named. */
function consoleAt(node: number, consoleNode = 1) {
  const did: string[] = [];
  const state = { running: true, open: true, room: 100, waiting: 0, more: true };
  const dataPlane = {
    consoleInput: (bytes: Uint8Array) => {
      const taken = Math.min(state.room, bytes.length);
      if (taken > 0) did.push(`in ${Buffer.from(bytes.subarray(0, taken))}`);
      return taken;
    },
    holdConsole: (hold: boolean) => void did.push(`hold ${hold}`),
  };
  const guestConsole = new GuestConsole({
    node,
    deviceNode: 0,
    consoleNode,
    dataPlane: () => (state.open ? dataPlane : undefined),
    running: () => state.running,
    waiting: (to) => {
      expect(to).toBe(consoleNode);
      return state.waiting;
    },
    send: (to, message) => void did.push(`to ${to}: ${told(message)}`),
    print: (bytes) => {
      did.push(`print ${Buffer.from(bytes)}`);
      return state.more;
    },
    typeOn: () => void did.push("type on"),
    rouse: () => void did.push("rouse"),
    debug: (text) => void did.push(text),
  });
  /** What was done since it was last asked. */
  return { console: guestConsole, state, done: () => did.splice(0) };
}

function told(message: ControlMessage): string {
  if ("hold" in message) return `${message.kind} ${message.hold}`;
  return "bytes" in message ? `${message.kind} ${Buffer.from(message.bytes)}` : message.kind;
}

test("keys typed elsewhere travel to the serial port, those typed there do not", () => {
  const elsewhere = consoleAt(1);
  expect(elsewhere.console.typed(Buffer.from("k"))).toBe(true);
  expect(elsewhere.done()).toEqual(["to 0: input k", "rouse"]);
  const there = consoleAt(0, 0);
  expect(there.console.typed(Buffer.from("k"))).toBe(true);
  expect(there.console.typed(Buffer.from("l"))).toBe(true);
  expect(there.done()).toEqual(["in k", "rouse", "in l", "rouse"]);
  expect(there.console.idle).toBe(true);
});

test("keys typed elsewhere leave once the guest runs, the next when it has taken those", () => {
  const { console: elsewhere, state, done } = consoleAt(1);
  state.running = false;
  for (const key of ["k", "l"]) elsewhere.typed(Buffer.from(key));
  expect(done()).toEqual(["rouse", "rouse"]);
  expect(elsewhere.idle).toBe(false);
  state.running = true;
  elsewhere.tick();
  elsewhere.tick();
  expect(done()).toEqual(["to 0: input k"]);
  expect(elsewhere.idle).toBe(true);
  elsewhere.taken();
  elsewhere.taken();
  expect(done()).toEqual(["to 0: input l"]);
});

for (const [where, consoleNode] of [
  ["here", 0],
  ["elsewhere", 1],
] as const) {
  test(`a long input waits where it comes from, and nothing of it is lost: ${where}`, () => {
    const there = consoleAt(0, consoleNode);
    const here = consoleNode === 0 ? there : consoleAt(consoleNode);
    there.state.room = 1000;
    const text = Array.from({ length: 50_000 }, (_, index) => `${index} `).join("");
    let [typed, got, welcome, most] = ["", "", true, 0];
    for (let round = 0; round < 1000 && got.length < text.length; round += 1) {
      if (welcome && typed.length < text.length) {
        const next = text.slice(typed.length, typed.length + 50_000);
        typed += next;
        welcome = here.console.typed(Buffer.from(next));
      }
      for (const { console, done } of [here, there]) {
        console.tick();
        for (const did of done()) {
          const [, keys] = /^in (.*)$/.exec(did) ?? [];
          const [, passed] = /^to 0: input (.*)$/.exec(did) ?? [];
          got += keys ?? "";
          if (passed !== undefined) there.console.keep(Buffer.from(passed));
          if (did === "to 1: input-taken") here.console.taken();
          if (did === "type on") welcome = true;
        }
      }
      most = Math.max(most, typed.length - got.length);
    }
    expect(got === text).toBe(true);
    expect(most).toBeGreaterThan(64 * 1024);
    expect(most).toBeLessThan(64 * 1024 + 50_000 + 16 * 1024);
  });
}

test("a terminal that types on all the same loses what is beyond the bound", () => {
  const { console: here, state, done } = consoleAt(0, 0);
  state.room = 0;
  expect(here.typed(new Uint8Array(64 * 1024))).toBe(false);
  expect(here.typed(Buffer.from("no"))).toBe(false);
  expect(done()).toEqual(["rouse", "2 bytes of input dropped: the guest takes none"]);
  state.room = 1;
  here.tick();
  expect(done()).toEqual(["in \0", "type on"]);
});

test("keys wait for a guest that runs and takes them, which is told when it has all", () => {
  const { console: here, state, done } = consoleAt(0);
  state.running = false;
  here.keep(Buffer.from("abc"));
  here.tick();
  expect(done()).toEqual(["rouse"]);
  state.running = true;
  state.open = false;
  here.tick();
  expect(here.idle).toBe(false);
  state.open = true;
  state.room = 2;
  here.tick();
  expect(done()).toEqual(["in ab"]);
  expect(here.idle).toBe(false);
  here.tick();
  expect(done()).toEqual(["in c", "to 1: input-taken"]);
  expect(here.idle).toBe(true);
});

test("keys from elsewhere beyond the bound are dropped, which is said and rouses nobody", () => {
  const { console: here, state, done } = consoleAt(0);
  state.room = 0;
  here.keep(new Uint8Array(64 * 1024));
  here.keep(Buffer.from("no"));
  expect(done()).toEqual(["rouse", "2 bytes of input dropped: the guest takes none"]);
});

test("output for another node gathers until a tick finds room on the way", () => {
  const { console: here, state, done } = consoleAt(0);
  state.waiting = 64;
  here.printed(Buffer.from("a"));
  here.printed(Buffer.from("b"));
  here.tick();
  expect(done()).toEqual([]);
  state.waiting = 63;
  here.tick();
  expect(done()).toEqual(["to 1: console ab"]);
  // The last words do not wait.
  state.waiting = 64;
  here.printed(Buffer.from("c"));
  here.sendOutput();
  expect(done()).toEqual(["to 1: console c"]);
});

test("much output for another node holds the guest until it is on its way", () => {
  const { console: here, done } = consoleAt(0);
  here.printed(new Uint8Array(128 * 1024));
  expect(done()).toEqual(["hold true"]);
  here.tick();
  const [first, ...rest] = done();
  expect(first).toBe("hold false");
  expect(rest.length).toBe(4);
  here.tick();
  expect(done()).toEqual([]);
});

test("a terminal that takes no more holds the guest, and ticks do not let it go", () => {
  const { console: here, state, done } = consoleAt(0, 0);
  here.printed(Buffer.from("a"));
  state.more = false;
  here.printed(Buffer.from("b"));
  here.tick();
  here.sendOutput();
  expect(done()).toEqual(["print a", "print b", "hold true"]);
  here.hold(false);
  expect(done()).toEqual(["hold false"]);
});

test("a terminal elsewhere says once that it takes no more, and when it does again", () => {
  const { console: there, state, done } = consoleAt(1);
  there.arrived(Buffer.from("a"));
  state.more = false;
  there.arrived(Buffer.from("b"));
  there.arrived(Buffer.from("c"));
  expect(done()).toEqual(["print a", "print b", "to 0: console-hold true", "print c"]);
  there.ready();
  expect(done()).toEqual(["to 0: console-hold false"]);
  there.arrived(Buffer.from("d"));
  expect(done()).toEqual(["print d", "to 0: console-hold true"]);
});

test("what a terminal elsewhere does not take gathers, then holds the guest", () => {
  const { console: here, done } = consoleAt(0);
  here.holdThere(true);
  here.printed(Buffer.from("a"));
  here.tick();
  expect(done()).toEqual([]);
  here.printed(new Uint8Array(128 * 1024));
  expect(done()).toEqual(["hold true"]);
  here.tick();
  expect(done()).toEqual([]);
  here.holdThere(false);
  here.tick();
  expect(done()[0]).toBe("hold false");
});

test("the data plane of the next epoch hears what was said meanwhile", () => {
  const { console: here, state, done } = consoleAt(0, 0);
  state.open = false;
  here.hold(true);
  expect(done()).toEqual([]);
  state.open = true;
  here.opened();
  expect(done()).toEqual(["hold true"]);
});
