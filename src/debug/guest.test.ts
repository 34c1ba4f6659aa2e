/** @module Through which vCPU a debugger sees the guest's kernel. */

import { expect, test } from "bun:test";
import type { VcpuView } from "../control/views.ts";
import { kernelView } from "./guest.ts";

function viewOf(vcpu: number, cs: number, cr0: string): VcpuView {
  return {
    vcpu,
    activity: "running",
    held: false,
    inside: true,
    exitAgoMs: 1,
    waits: null,
    general: {},
    segments: { cs: { selector: cs, base: "0x0", limit: 0, access: 0 } },
    system: { cr0, efer: cr0 === "0x80050033" ? "0xd01" : "0x0" },
    apic: { id: vcpu, base: "0x0", tpr: 0, svr: 0, lvtTimer: 0, timerInMs: null, irr: [], isr: [] },
  };
}

const paged = "0x80050033";

test("the kernel is seen by a vCPU that runs it, and pages", () => {
  const [user, kernel] = [viewOf(0, 0x33, paged), viewOf(1, 0x10, paged)];
  /** Real mode, as it waits to be started: its low bits of CS are those of a kernel. */
  const waits = viewOf(2, 0xf000, "0x60000010");
  expect(kernelView([user, waits, kernel])).toBe(kernel);
  expect(kernelView([waits, user])).toBe(user);
  expect(kernelView([waits])).toBe(waits);
  expect(kernelView([])).toBeUndefined();
});
