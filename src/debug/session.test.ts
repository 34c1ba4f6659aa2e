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

function made() {
  const calls: string[] = [];
  let stop: number | undefined;
  const target: Target = {
    pause: async () => void calls.push("pause"),
    resume: async () => void calls.push("resume"),
    vcpus: async () => [viewOf(0, "0x1234"), viewOf(1, "0x5678")],
    read: async (_, address, length) =>
      address >= 0x9000n ? new Uint8Array() : new Uint8Array(length).fill(0xab),
    guestDebug: async (vcpu, step, points) => {
      const at = points.map(({ addressU64, kind, size }) => `${addressU64}/${kind}/${size}`);
      calls.push(`debug ${vcpu} ${step} ${at.join(" ")}`.trimEnd());
    },
    setRegisters: async (vcpu, values) => void calls.push(`set ${vcpu} ${values[16]}`),
    stopped: async () => stop,
  };
  return { session: new Session(target), calls, stopAt: (vcpu: number) => (stop = vcpu) };
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

test("memory that is not mapped is an error, unknown packets get an empty answer", async () => {
  const { session } = made();
  await session.start();
  expect(await session.packet("m1000,4")).toBe("abababab");
  expect(await session.packet("m9000,4")).toBe("E01");
  expect(await session.packet("mxyz,4")).toBe("E01");
  expect(await session.packet("vMustReplyEmpty")).toBe("");
  expect(await session.packet("M1000,1:00")).toBe("");
});

test("a breakpoint is armed on every vCPU, and the one that stops is the thread", async () => {
  const { session, calls, stopAt } = made();
  await session.start();
  expect(await session.packet("Z0,1234,1")).toBe("OK");
  expect(await session.packet("Z2,8000,8")).toBe("OK");
  expect(await session.packet("Z3,8000,8")).toBe("");
  expect(await session.packet("z2,8000,8")).toBe("OK");
  for (const at of [1, 2, 3]) expect(await session.packet(`Z1,${at},1`)).toBe("OK");
  expect(await session.packet("Z1,4,1")).toBe("E01");
  for (const at of [1, 2, 3]) expect(await session.packet(`z1,${at},1`)).toBe("OK");
  expect(await session.packet("vCont;c")).toBeUndefined();
  expect(session.running).toBe(true);
  expect(calls).toEqual(["pause", "debug 0 false 4660/0/0", "debug 1 false 4660/0/0", "resume"]);
  expect(await session.poll()).toBeUndefined();
  stopAt(1);
  expect(await session.poll()).toBe("T05thread:2;");
  expect(session.running).toBe(false);
  expect(await session.poll()).toBeUndefined();
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
