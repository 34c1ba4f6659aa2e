/** @module The routing table: whose devices answer where, the same whichever node computes it. */

import { expect, test } from "bun:test";
import { scratchDevice, scratchPorts } from "../devices/scratch.ts";
import * as map from "../machine/map.ts";
import { deviceRoutes } from "./routes.ts";

test("all native devices are the device node's, each slow one its own node's", () => {
  for (const [devices, scratch] of [
    [0, 0],
    [2, 1],
  ] as const) {
    const table = deviceRoutes(devices, [scratchDevice(scratch).place]);
    const slow = table.filter((route) => route.speed === "slow");
    expect(slow).toEqual([
      {
        space: "port",
        firstU64: BigInt(scratchPorts.first),
        lastU64: BigInt(scratchPorts.last),
        node: scratch,
        speed: "slow",
      },
    ]);
    const native = table.filter((route) => route.speed === "fast");
    expect(native.length).toBeGreaterThan(10);
    expect(native.every((route) => route.node === devices)).toBe(true);
  }
});

test("PCI's configuration and its devices' memory lead to the device node", () => {
  const table = deviceRoutes(1, []);
  const nodeOf = (space: "port" | "mmio", address: number) =>
    table.find(
      (route) =>
        route.space === space && route.firstU64 <= address && BigInt(address) <= route.lastU64,
    )?.node;
  for (const port of [0xcf8, 0xcf9, 0xcfb, 0xcfc, 0xcff]) expect(nodeOf("port", port)).toBe(1);
  for (const gpa of [map.pciWindowGpa, map.ecamGpa - 1, map.ecamGpa + map.ecamBytes - 1]) {
    expect(nodeOf("mmio", gpa)).toBe(1);
  }
  expect(nodeOf("mmio", map.ecamGpa + map.ecamBytes)).toBeUndefined();
});

test("no two routes answer at one address", () => {
  const table = deviceRoutes(0, [scratchDevice(0).place]);
  for (const [index, one] of table.entries()) {
    for (const other of table.slice(index + 1)) {
      const apart =
        one.space !== other.space || one.lastU64 < other.firstU64 || other.lastU64 < one.firstU64;
      expect({ one, other, apart }).toEqual({ one, other, apart: true });
    }
  }
});
