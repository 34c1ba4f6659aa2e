/** @module What gdb asks and is told, with a VM made by the test. */

import { expect, test } from "bun:test";
import { generalNames, type VcpuView } from "../control/views.ts";
import { Session, type Target } from "./session.ts";

function viewOf(vcpu: number, rip: string): VcpuView {
  return {
    vcpu,
    activity: "running",
    held: true,
    inside: false,
    exitAgoMs: 1,
    waits: vcpu === 1 ? { gpa: "0x5000", ms: 10 } : null,
    general: Object.fromEntries(generalNames.map((name) => [name, name === "rip" ? rip : "0x7"])),
    segments: { cs: { selector: 0x10, base: "0x0", limit: 0, access: 0 } },
    system: { cr3: "0x1000" },
    apic: { id: vcpu, base: "0x0", tpr: 0, svr: 0, lvtTimer: 0, timerInMs: null, irr: [], isr: [] },
  };
}

const ramBytes = 0x9000;

function within(at: bigint, length: number): number {
  if (at + BigInt(length) > BigInt(ramBytes)) throw new Error("no RAM at this address");
  return Number(at);
}

/** A VM without paging, so that virtual addresses are physical ones. */
function made() {
  const calls: string[] = [];
  const memory = new Uint8Array(ramBytes).fill(0xab);
  let stop: { vcpu: number; dr6U64: bigint } | undefined;
  let rip = "0x5678";
  let held = true;
  let refused: number | undefined;
  let absent = false;
  const target: Target = {
    pause: async () => {
      calls.push("pause");
      if (absent) throw new Error("node 1: there is no machine yet");
    },
    resume: async (vcpus) => void calls.push(`resume ${vcpus?.join(",") ?? ""}`.trimEnd()),
    vcpus: async () => [viewOf(0, "0x1234"), { ...viewOf(1, rip), held }],
    memory: {
      read: async (at, length) => memory.slice(within(at, length), Number(at) + length),
      write: async (at, bytes) => memory.set(bytes, within(at, bytes.length)),
    },
    guestDebug: async (vcpu, { step, breakpoints, int3sU64 }) => {
      if (vcpu === refused && int3sU64.length > 0) throw new Error("KVM does not report int3");
      const at = breakpoints.map(({ addressU64, kind, size }) => `${addressU64}/${kind}/${size}`);
      calls.push(`debug ${vcpu} ${step} ${[...at, ...int3sU64].join(" ")}`.trimEnd());
    },
    setRegisters: async (vcpu, values) => void calls.push(`set ${vcpu} ${values[16]}`),
    stopped: async () => stop,
  };
  return {
    session: new Session(target),
    calls,
    memory,
    stopAt: (vcpu: number, dr6U64: bigint) => (stop = { vcpu, dr6U64 }),
    goTo: (at: string) => (rip = at),
    hold: (now: boolean) => (held = now),
    refuse: (vcpu: number) => (refused = vcpu),
    leave: () => (absent = true),
  };
}

test("threads are vCPUs, with their registers and what they wait for", async () => {
  const { session } = made();
  await session.start();
  expect(await session.packet("?")).toBe("T05thread:1;");
  expect(await session.packet("qfThreadInfo")).toBe("m1,2");
  expect(await session.packet("T2")).toBe("OK");
  expect(await session.packet("T3")).toBe("E01");
  expect(await session.packet("Hg2")).toBe("OK");
  // rip is gdb's number 16 on x86-64, behind sixteen registers of 8 bytes.
  expect(await session.packet("p10")).toBe("7856000000000000");
  const all = (await session.packet("g")) ?? "";
  expect(all.slice(2 * 128, 2 * 136)).toBe("7856000000000000");
  expect(all).toContain("x".repeat(20));
  const about = Buffer.from((await session.packet("qThreadExtraInfo,2")) ?? "", "hex").toString();
  expect(about).toBe("vCPU 1 running, waits for page 0x5000");
  const part = (await session.packet("qXfer:features:read:target.xml:0,20")) ?? "";
  expect(part).toStartWith('m<?xml version="1.0"?>');
  expect(part.length).toBe(0x21);
});

test("memory is read and written, and unknown packets get an empty answer", async () => {
  const { session, memory } = made();
  await session.start();
  expect(await session.packet("m1000,4")).toBe("abababab");
  expect(await session.packet("mxyz,4")).toBe("E01");
  expect(await session.packet("vMustReplyEmpty")).toBe("");
  expect(await session.packet("M1000,2:0102")).toBe("OK");
  // Bytes as they are, also such as separate words; none at all is how gdb asks for X.
  expect(await session.packet("X1fff,3:\x00:\xff")).toBe("OK");
  expect(await session.packet("X0,0:")).toBe("OK");
  expect([...memory.subarray(0x1000, 0x1003)]).toEqual([1, 2, 0xab]);
  expect([...memory.subarray(0x1fff, 0x2003)]).toEqual([0, 0x3a, 0xff, 0xab]);
  for (const wrong of ["M1000,2:01", "M1000,1:0", "Mxyz,1:00", "M1000", "X1000,2:a"]) {
    expect(await session.packet(wrong)).toBe("E01");
  }
});

const armed = "debug 0 false 4660/0/0";

test("a hardware breakpoint is on every vCPU, and the one that stops is the thread", async () => {
  const { session, calls, stopAt } = made();
  await session.start();
  expect(await session.packet("Z1,1234,1")).toBe("OK");
  expect(await session.packet("Z2,8000,8")).toBe("OK");
  expect(await session.packet("Z3,8000,8")).toBe("");
  expect(await session.packet("ZtoString,8000,8")).toBe("");
  expect(await session.packet("z2,8000,8")).toBe("OK");
  for (const at of [1, 2, 3]) expect(await session.packet(`Z1,${at},1`)).toBe("OK");
  expect(await session.packet("Z1,4,1")).toBe("E01");
  for (const at of [1, 2, 3]) expect(await session.packet(`z1,${at},1`)).toBe("OK");
  expect(await session.packet("vCont;c")).toBeUndefined();
  expect(session.running).toBe(true);
  expect(calls).toEqual(["pause", armed, "debug 1 false 4660/0/0", "resume"]);
  expect(await session.poll()).toBeUndefined();
  stopAt(1, 0xffff_0ff1n);
  expect(await session.poll()).toBe("T05thread:2;");
  expect(session.running).toBe(false);
  expect(await session.poll()).toBeUndefined();
});

test("a gdb that knows reasons is told them, with the address a watchpoint is at", async () => {
  const { session, stopAt } = made();
  await session.start();
  const features = await session.packet("qSupported:multiprocess+;swbreak+;hwbreak+");
  expect(features).toContain("swbreak+");
  await session.packet("Z1,1234,1");
  await session.packet("Z2,8000,8");
  await session.packet("Z4,7000,4");
  const stops = [
    [0xffff_0ff1n, "T05hwbreak:;thread:2;"],
    [0xffff_0ff2n, "T05watch:8000;thread:2;"],
    [0xffff_0ff4n, "T05awatch:7000;thread:2;"],
    // The end of a step.
    [0xffff_4ff0n, "T05thread:2;"],
    // An int3 through a mapping that gdb does not know of.
    [0n, "T05thread:2;"],
  ] as const;
  for (const [dr6, reply] of stops) {
    stopAt(1, dr6);
    await session.packet("vCont;c");
    expect(await session.poll()).toBe(reply);
  }
});

test("a software breakpoint is an int3 that gdb does not see, and leaves no trace", async () => {
  const { session, calls, memory, stopAt } = made();
  await session.start();
  await session.packet("qSupported:swbreak+");
  expect(await session.packet("M5678,2:9055")).toBe("OK");
  for (const again of [1, 2]) {
    expect({ again, said: await session.packet("Z0,5678,1") }).toEqual({ again, said: "OK" });
  }
  expect([...memory.subarray(0x5677, 0x567a)]).toEqual([0xab, 0xcc, 0x55]);
  expect(await session.packet("m5677,3")).toBe("ab9055");
  calls.length = 0;
  await session.packet("vCont;c");
  expect(calls).toEqual(["debug 0 false 22136", "debug 1 false 22136", "resume"]);
  stopAt(1, 0n);
  expect(await session.poll()).toBe("T05swbreak:;thread:2;");
  // What gdb writes over it is what it leaves behind.
  expect(await session.packet("M5677,3:010203")).toBe("OK");
  expect([...memory.subarray(0x5677, 0x567a)]).toEqual([1, 0xcc, 3]);
  expect(await session.packet("m5678,1")).toBe("02");
  expect(await session.packet("z0,5678,1")).toBe("OK");
  expect(await session.packet("z0,5678,1")).toBe("OK");
  expect(memory[0x5678]).toBe(2);
  // Where the guest has stored since, its bytes stay.
  await session.packet("Z0,5678,1");
  memory[0x5678] = 0x77;
  expect(await session.packet("m5678,1")).toBe("77");
  await session.packet("Z0,5679,1");
  expect(await session.packet("D")).toBe("OK");
  expect([...memory.subarray(0x5678, 0x567a)]).toEqual([0x77, 3]);
});

test("software breakpoints are refused while a vCPU is free, and when too many", async () => {
  const { session, memory, hold } = made();
  await session.start();
  hold(false);
  await expect(session.packet("Z0,1000,1")).rejects.toThrow("vCPU 1 is not held yet");
  expect(memory[0x1000]).toBe(0xab);
  hold(true);
  await expect(session.packet("Z0,9000,1")).rejects.toThrow("no RAM at this address");
  for (let at = 0; at < 64; at += 1) {
    expect(await session.packet(`Z0,${at.toString(16)},1`)).toBe("OK");
  }
  expect(await session.packet("Z0,1000,1")).toBe("E01");
  // To take one away nobody has to be held.
  hold(false);
  expect(await session.packet("z0,3f,1")).toBe("OK");
  expect(await session.packet("k")).toBe("OK");
  expect(memory.indexOf(0xcc)).toBe(-1);
});

test("no int3 is in memory before every vCPU's node takes it", async () => {
  const { session, calls, memory, refuse } = made();
  await session.start();
  refuse(1);
  await expect(session.packet("Z0,1000,1")).rejects.toThrow("does not report int3");
  expect(calls).toEqual(["pause", "debug 0 false 4096"]);
  expect(memory.indexOf(0xcc)).toBe(-1);
  // What the one vCPU was told is taken back with the next it is told.
  await session.packet("vCont;c");
  expect(calls.slice(2)).toEqual(["debug 0 false", "debug 1 false", "resume"]);
});

test("who cannot hold all lets the others go: there is no int3 in their way", async () => {
  const { session, calls, leave } = made();
  await session.start();
  expect(await session.packet("c")).toBeUndefined();
  leave();
  await expect(session.interrupt()).rejects.toThrow("no machine yet");
  // Nothing has stopped: it is still looked after.
  expect(session.running).toBe(true);
  calls.length = 0;
  await expect(session.end()).rejects.toThrow("no machine yet");
  expect(calls).toEqual(["pause", "resume"]);
});

test("an int3 that cannot be taken back keeps the guest held", async () => {
  const { session, calls, memory } = made();
  await session.start();
  await session.packet("Z0,1000,1");
  await session.packet("vCont;c");
  memory.set = () => {
    throw new Error("the page did not come");
  };
  await expect(session.end()).rejects.toThrow("did not come");
  expect(calls.slice(-2)).toEqual(["resume", "pause"]);
  expect(session.over).toBe(false);
  // Asked once more it can.
  memory.set = Uint8Array.prototype.set;
  await session.end();
  expect([session.over, memory[0x1000]]).toEqual([true, 0xab]);
  expect(calls.at(-1)).toBe("resume");
});

test("off a breakpoint only the thread that gdb names goes on", async () => {
  const { session, calls, stopAt } = made();
  await session.start();
  await session.packet("vCont;s:2");
  expect(calls).toEqual(["pause", "debug 0 false", "debug 1 true", "resume 1"]);
  stopAt(1, 0xffff_4ff0n);
  expect(await session.poll()).toBe("T05thread:2;");
  await session.packet("Hc1");
  await session.packet("vCont;c:1");
  expect(calls.slice(-2)).toEqual(["debug 1 false", "resume 0"]);
  expect(await session.interrupt()).toBe("T02thread:1;");
  expect(await session.packet("vCont;c:7")).toBe("E01");
});

test("a step is for one vCPU, Ctrl-C stops all, and letting go leaves nothing behind", async () => {
  const { session, calls } = made();
  await session.start();
  expect(await session.packet("P10=0010000000000000")).toBe("OK");
  expect(await session.packet("P28=0010000000000000")).toBe("E01");
  await session.packet("Z1,1234,1");
  await session.packet("vCont;s:2;c");
  expect(await session.interrupt()).toBe("T02thread:1;");
  expect(await session.interrupt()).toBeUndefined();
  expect(await session.packet("D")).toBe("OK");
  expect(session.over).toBe(true);
  expect(calls).toEqual([
    "pause",
    "set 0 4096",
    "debug 0 false 4660/0/0",
    "debug 1 true 4660/0/0",
    "resume",
    "pause",
    "debug 0 false",
    "debug 1 false",
    "resume",
  ]);
});
