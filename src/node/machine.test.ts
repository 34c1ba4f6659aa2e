/** @module One node's part of the machine, over a data plane that writes down what it is told. */

import { expect, test } from "bun:test";
import type { GuestImages } from "../machine/images.ts";
import { type Hello, protocolVersion } from "../protocol/messages.ts";
import type { BootState, DataPlane, NodePlan } from "./dataplane.ts";
import { NodeMachine } from "./machine.ts";

const facts = { vendor: "V", cpuid: [], tscKhz: 2_000_000, physicalAddressBits: 46, xcr0U64: 7n };

function hello(cpus: number): Hello {
  return {
    kind: "hello",
    protocol: protocolVersion,
    build: "b1",
    epoch: 1,
    order: "a:1,b:2,c:3",
    cpus,
    ramPages: 512,
    dataPort: 9,
    vmIdU64: 5n,
    settings: [],
    hide: [],
    kernel: false,
    obstacle: "",
    facts,
  };
}

const hellos = [hello(1), hello(2), hello(3)];
const agreement = { vmIdU64: 5n, epoch: 1, tscKhz: 2_000_000, cpuid: [] };
const guest: GuestImages = {
  segments: [
    { gpaU64: 0x1000n, bytes: Uint8Array.of(1) },
    { gpaU64: 0x9000n, bytes: Uint8Array.of(2) },
  ],
  boot: {} as BootState,
  commandLine: "quiet",
};

/**
 * What is loaded is in, and a close over, with a `done` each.
 * @param kept by the clock chip at each close
 */
function machineOf(node: number, kept: number[][] = []) {
  const did: string[] = [];
  const waiting: (() => void)[] = [];
  const later = () => new Promise<void>((resolve) => waiting.push(resolve));
  const dataPlane = {
    configure: ({ node: own }: NodePlan, cmos: Uint8Array) =>
      void did.push(["configure", own, ...cmos].join(" ")),
    cmos: () => Uint8Array.from(kept.shift() ?? []),
    load: (gpaU64: bigint) => (did.push(`load ${gpaU64.toString(16)}`), later()),
    boot: () => void did.push("boot"),
    registers: (vcpu: number) => `of ${vcpu}`,
    close: () => (did.push("close"), later()),
  } as Partial<DataPlane> as DataPlane;
  const machine = new NodeMachine({
    node,
    open: (epoch) => (did.push(`open ${epoch}`), { dataPlane, hello: hello(node + 1) }),
    planOf: () => ({ node }) as NodePlan,
    images: async () => guest,
    names: ["a:1", "b:2", "c:3"],
    info: (text) => void did.push(text),
    warn: (text) => void did.push(`warn ${text}`),
  });
  return { machine, dataPlane, did, done: () => waiting.shift()?.() };
}

test("a node's vCPUs are counted after those of the nodes before it", () => {
  const vcpus = [0, 1, 2].map((node) => {
    const { machine, did } = machineOf(node);
    machine.open(1);
    expect(machine.registers()).toBe("");
    machine.configure(agreement, hellos);
    expect(did).toEqual(["open 1", "agreed: 3 nodes, 6 vCPUs, 6 MiB", `configure ${node}`]);
    return machine.vcpus;
  });
  expect(vcpus).toEqual([[0], [1, 2], [3, 4, 5]]);
});

test("processors of several models are told of once, not at each restart of the guest", () => {
  const { machine, did } = machineOf(0);
  const old = { leaf: 1, index: 0, flags: 0, eax: 0x50657, ebx: 0, ecx: 0, edx: 0 };
  const mixed = [hello(1), { ...hello(1), facts: { ...facts, cpuid: [old] } }];
  machine.open(1);
  machine.configure(agreement, mixed);
  expect(did.filter((each) => each.startsWith("warn the processors differ")).length).toBe(1);
  did.splice(0);
  machine.configure({ ...agreement, epoch: 2 }, mixed);
  expect(did).toEqual(["agreed: 2 nodes, 2 vCPUs, 4 MiB", "configure 0"]);
});

test("the boot processor is set once all of the guest is in memory", async () => {
  const { machine, did, done } = machineOf(0);
  machine.open(1);
  machine.configure(agreement, hellos);
  did.splice(0);
  const loaded = machine.load();
  await Promise.resolve();
  expect(did.splice(0)).toEqual(["load 1000"]);
  done();
  await Promise.resolve();
  expect(did.splice(0)).toEqual(["load 9000"]);
  done();
  await loaded;
  expect(did).toEqual(["boot", "guest command line: quiet"]);
});

test("nothing is loaded before the agreement", async () => {
  const { machine } = machineOf(0);
  machine.open(1);
  await expect(machine.load()).rejects.toThrow("nothing to load");
});

test("a machine that is over shows no vCPU, and has its data plane until the close", async () => {
  const { machine, dataPlane, did, done } = machineOf(1);
  expect(machine.dataPlane).toBeUndefined();
  machine.open(1);
  machine.configure(agreement, hellos);
  expect(machine.registers()).toBe("of 1\nof 2");
  machine.forget();
  expect([machine.vcpus, machine.registers()]).toEqual([[], ""]);
  expect(machine.dataPlane).toBe(dataPlane);
  const closed = machine.close();
  // At once, though it takes time.
  expect(machine.dataPlane).toBeUndefined();
  done();
  await closed;
  machine.open(2);
  expect(machine.dataPlane).toBe(dataPlane);
  expect(did.slice(-2)).toEqual(["close", "open 2"]);
});

test("what the clock chip kept goes on in the next epoch that has a machine", async () => {
  const { machine, did, done } = machineOf(0, [[7, 8], [], [9]]);
  const machines = [];
  for (const epoch of [1, 2, 3, 4]) {
    machine.open(epoch);
    // The second one ends before there is an agreement.
    if (epoch !== 2) machine.configure(agreement, hellos);
    const closed = machine.close();
    done();
    await closed;
    machines.push(did.splice(0).find((text) => text.startsWith("configure")));
  }
  expect(machines).toEqual(["configure 0", undefined, "configure 0 7 8", "configure 0 9"]);
});
