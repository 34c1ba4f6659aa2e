/** @module A daemon alone in its VM, over a data plane that says what a test lets it say. */

import { expect, test } from "bun:test";
import { type Hello, protocolVersion } from "../protocol/messages.ts";
import { Daemon } from "./daemon.ts";
import type { BootState, DataEvent, DataPlane, NodePlan } from "./dataplane.ts";

const hello: Hello = {
  kind: "hello",
  protocol: protocolVersion,
  build: "b",
  epoch: 1,
  order: "a:1",
  cpus: 1,
  ramPages: 512,
  dataPort: 9,
  vmIdU64: 5n,
  settings: [],
  hide: [],
  kernel: false,
  obstacle: "",
  facts: { vendor: "V", cpuid: [], tscKhz: 2_000_000, physicalAddressBits: 46, xcr0U64: 7n },
};

/** What the guest of one epoch does. */
type Guest = (say: (event: DataEvent) => void) => unknown;

type Moments = {
  /** Until node 0 has read what the guest starts with. */
  readonly read: Promise<void>;
  /** Until the vCPUs have stopped. */
  readonly stopped: Promise<void>;
};
const atOnce: Moments = { read: Promise.resolve(), stopped: Promise.resolve() };

/** As the library, which refuses what comes after a stop. `did` is what it was told. */
function dataPlaneOf(did: string[], guest: Guest, stopped: Promise<void>): DataPlane {
  let handler: ((event: DataEvent) => void) | undefined;
  let stopping = false;
  return {
    configure: () => {},
    load: async () => {
      did.push(stopping ? "load refused" : "load");
      if (stopping) throw new Error("gvm_load: EALREADY");
    },
    boot: () => {},
    run: () => queueMicrotask(() => void guest((event) => handler?.(event))),
    tsc: () => ({ countU64: 0n, advancedU64: 0n }),
    counters: () => ({}),
    registers: () => "",
    holdConsole: () => {},
    cmos: () => new Uint8Array(),
    pause: (hold: boolean) => {
      if (stopping) throw new Error("gvm_pause: EALREADY");
      did.push(`pause ${hold}`);
    },
    stop: async () => {
      stopping = true;
      did.push("stop");
      await stopped;
    },
    onEvent: (wanted: (event: DataEvent) => void) => {
      handler = wanted;
    },
    close: async () => {},
  } as Partial<DataPlane> as DataPlane;
}

function daemonOf(guests: readonly Guest[], { read, stopped } = atOnce) {
  const did: string[] = [];
  const daemon = new Daemon({
    node: 0,
    peers: [{ address: "a", port: 1, name: "a" }],
    build: "b",
    silenceMs: 2000,
    joinMs: 1000,
    deviceNode: 0,
    consoleNode: 0,
    devices: [],
    open: (epoch) => ({
      dataPlane: dataPlaneOf(did, guests[epoch - 1] ?? (() => {}), stopped),
      hello: { ...hello, epoch },
    }),
    cpuidOf: () => [],
    planOf: () => ({}) as NodePlan,
    images: async () => {
      await read;
      const segments = [{ gpaU64: 0n, bytes: Uint8Array.of(1) }];
      return { segments, boot: {} as BootState, commandLine: "" };
    },
    explain: (error) => ({ code: 7, message: String(error) }),
    nowNs: () => BigInt(Math.round(performance.now() * 1e6)),
    send: () => {},
    console: () => true,
    log: {
      info: () => {},
      warn: (text) => did.push(text),
      debug: () => {},
      error: (text) => did.push(text),
    },
  });
  const stops = async () => {
    const [answer] = await daemon.questions.ask({ ask: "stops" });
    did.push(JSON.stringify(answer));
  };
  return { daemon, did, stops };
}

const debugStop: DataEvent = { kind: "debug-stop", vcpu: 0, ripU64: 1n, dr6U64: 0x4000n };

test("a vCPU that stops for a debugger holds the others of its node", async () => {
  const { daemon, did, stops } = daemonOf([
    async (say) => {
      say(debugStop);
      await stops();
      say({ kind: "poweroff" });
    },
  ]);
  await daemon.run();
  expect(did).toEqual([
    "load",
    "pause true",
    '{"node":0,"name":"node 0 (a)","value":{"stops":[{"vcpu":0,"rip":"0x1","dr6":"0x4000"}]}}',
    "stop",
  ]);
});

test("a stop for a debugger that comes with a reset or the end is dropped", async () => {
  const { daemon, did, stops } = daemonOf([
    (say) => {
      say({ kind: "reset" });
      say(debugStop);
    },
    async (say) => {
      await stops();
      say({ kind: "poweroff" });
      say(debugStop);
    },
  ]);
  const { code, cause, clean } = await daemon.run();
  expect({ code, cause, clean }).toEqual({ code: 0, cause: "poweroff", clean: true });
  const none = '{"node":0,"name":"node 0 (a)","value":{"stops":[]}}';
  expect(did).toEqual(["load", "stop", "load", none, "stop"]);
});

test("an end while the guest is loaded stands, though the rest is taken no more", async () => {
  const [read, stopped] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const moments = { read: read.promise, stopped: stopped.promise };
  const { daemon, did } = daemonOf([], moments);
  const outcome = daemon.run();
  daemon.end(143, "SIGTERM");
  read.resolve();
  while (!did.includes("load refused")) await Bun.sleep(1);
  stopped.resolve();
  expect(await outcome).toMatchObject({ code: 143, cause: "signal", clean: true });
});

test("a node that only small datagrams reach is told of, and the guest goes on", async () => {
  const { daemon, did } = daemonOf([
    (say) => {
      say({ kind: "narrowed", node: 0, bytes: 8972 });
      say({ kind: "poweroff" });
    },
  ]);
  expect((await daemon.run()).code).toBe(0);
  expect(did).toEqual([
    "load",
    "node 0 (a) gets no datagrams of 8972 bytes, only small ones, which are slower: let both " +
      "hosts and all between them have one MTU (giantvm doctor --peers)",
    "stop",
  ]);
});
