/** @module The data plane through FFI on a real /dev/kvm: a few bytes of real-mode code each. */

import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { scratchDevice, ScratchPorts } from "../../src/devices/scratch.ts";
import { monotonicNs } from "../../src/native/clock.ts";
import { openDataPlane } from "../../src/native/index.ts";
import type { DataEvent, DataPlane, NodePlan, TscReading } from "../../src/node/dataplane.ts";
import { deviceRoutes } from "../../src/node/routes.ts";
import { kvmMissing } from "../program.ts";

const missing = kvmMissing();
if (missing !== undefined) console.warn(`SKIPPED: data plane over FFI: ${missing}`);

/** Runs code at 0x1000 in real mode until the guest says it is done; returns what it did. */
async function guest(
  code: readonly number[],
  then?: (dataPlane: DataPlane) => Promise<void>,
  atSlow?: (dataPlane: DataPlane, output: string) => void,
) {
  const dataPlane = openDataPlane({ address: "127.0.0.1" });
  const facts = dataPlane.facts();
  const done = Promise.withResolvers<DataEvent>();
  const scratch = new ScratchPorts();
  let output = "";
  let outputAtEnd = "";
  let slow = 0;
  dataPlane.onEvent((event) => {
    if (event.kind === "console") output += new TextDecoder().decode(event.bytes);
    else if (event.kind === "io") {
      atSlow?.(dataPlane, output);
      slow += 1;
      dataPlane.ioReply(event.id, scratch.access(event));
    } else if (event.kind === "debug-exit" || event.kind === "crash") {
      outputAtEnd = output;
      done.resolve(event);
    }
  });
  const plan: NodePlan = {
    node: 0,
    vmIdU64: 1n,
    epoch: 1,
    nodes: [{ address: "127.0.0.1", dataPort: dataPlane.dataPort, cpus: 1, ramPages: 1024 }],
    cpuid: facts.cpuid,
    tscKhz: facts.tscKhz,
    deviceNode: 0,
    routes: deviceRoutes(0, [scratchDevice(0).place]),
    silenceMs: 2000,
    spinUs: 0,
    takenMaxPages: 0,
    guardOff: "",
    disks: [],
  };
  expect(dataPlane.cmos()).toBeEmpty();
  dataPlane.configure(plan, new Uint8Array());
  await dataPlane.load(0x1000n, Uint8Array.from(code));
  dataPlane.boot({
    mode: "real",
    ripU64: 0x1000n,
    raxU64: 0n,
    rbxU64: 0n,
    rsiU64: 0n,
    rspU64: 0n,
    cr3U64: 0n,
    gdtU64: 0n,
  });
  dataPlane.run(monotonicNs());
  const end = await done.promise;
  await then?.(dataPlane);
  await dataPlane.stop();
  const counters = dataPlane.counters();
  await dataPlane.close();
  return { end, output, outputAtEnd, slow, counters };
}

/** mov dx,0x3f8; mov al,letter; out dx,al */
function print(letter: string): readonly number[] {
  return [0xba, 0xf8, 0x03, 0xb0, letter.charCodeAt(0), 0xee];
}

describe.skipIf(missing !== undefined)("data plane", () => {
  test("loads, runs, prints, exits, stops and closes", async () => {
    // mov dx,0x3f8; mov al,'H'; out dx,al; mov al,'i'; out dx,al; mov al,7; out 0xf4,al; hlt
    const code = [0xba, 0xf8, 0x03, 0xb0, 0x48, 0xee, 0xb0, 0x69, 0xee, 0xb0, 7, 0xe6, 0xf4, 0xf4];
    const { end, output, counters } = await guest(code);
    expect(output).toBe("Hi");
    expect(end).toEqual({ kind: "debug-exit", code: 7 });
    expect(counters["faultsWrite"]).toBeGreaterThan(0n);
  });

  test("an access routed slow is executed once by TypeScript", async () => {
    // mov dx,0x50a; mov al,0x2a; out dx,al; mov al,0; in al,dx; out 0xf4,al; hlt
    const code = [0xba, 0x0a, 0x05, 0xb0, 0x2a, 0xee, 0xb0, 0, 0xec, 0xe6, 0xf4, 0xf4];
    const { end, slow } = await guest(code);
    expect(end).toEqual({ kind: "debug-exit", code: 0x2a });
    expect(slow).toBe(2);
  });

  test("output that is held waits, comes when it may, and before the end in any case", async () => {
    // mov dx,0x50a; in al,dx
    const slow = [0xba, 0x0a, 0x05, 0xec];
    const waits = ["a", "b", "c"].flatMap((letter) => print(letter).concat(slow));
    // mov al,7; out 0xf4,al; hlt
    const code = [...waits, ...print("d"), 0xb0, 7, 0xe6, 0xf4, 0xf4];
    const seen: string[] = [];
    const { outputAtEnd } = await guest(code, undefined, (dataPlane, output) => {
      seen.push(output);
      // From the first access to the second and from the third on.
      dataPlane.holdConsole(seen.length !== 2);
    });
    expect(seen).toEqual(["a", "a", "abc"]);
    expect(outputAtEnd).toBe("abcd");
  });

  test("an unlisted port reads as all ones", async () => {
    // mov dx,0x2fd; in al,dx; out 0xf4,al; hlt
    const { end } = await guest([0xba, 0xfd, 0x02, 0xec, 0xe6, 0xf4, 0xf4]);
    expect(end).toEqual({ kind: "debug-exit", code: 0xff });
  });

  test("the guest's TSC is read by its parts, and steps where KVM lets it", async () => {
    const readings: TscReading[] = [];
    let outcome = "";
    // mov al,7; out 0xf4,al; hlt
    await guest([0xb0, 7, 0xe6, 0xf4, 0xf4], async (dataPlane) => {
      readings.push(dataPlane.tsc());
      // Until the vCPU is outside the guest, in its halt.
      do {
        outcome = dataPlane.advanceTsc(0n, 1000n);
        readings.push(dataPlane.tsc());
        await Bun.sleep(0);
      } while (outcome !== "cannot" && readings.at(-1)?.advancedU64 === 0n);
    });
    const [first, last] = [readings[0]!, readings.at(-1)!];
    expect(first.advancedU64).toBe(0n);
    expect(last.countU64).toBeGreaterThan(first.countU64);
    expect(last.advancedU64).toBe(outcome === "cannot" ? 0n : 1000n);
  });

  test("a triple fault is reported with the vCPU's registers", async () => {
    // mov bx,0x1234; lidt cs:[0x10], which is all zero; ud2
    const code = [0xbb, 0x34, 0x12, 0x2e, 0x0f, 0x01, 0x1e, 0x10, 0x00, 0x0f, 0x0b];
    const { end } = await guest([...code, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    expect(end.kind).toBe("crash");
    if (end.kind === "crash") expect(end.reason).toContain("cr0=");
  });

  test("a handler that throws is told of, and hears of the events after it", async () => {
    const child = Bun.spawn([process.execPath, join(import.meta.dir, "throws.ts")]);
    const said = await new Response(child.stdout).text();
    expect(said.split("\n")).toEqual([
      "stopped",
      "stopped",
      "told: Error: thrown by the handler",
      "stopped",
      "",
    ]);
    expect(await child.exited).toBe(0);
  });
});
