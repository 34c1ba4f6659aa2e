/** @module The routing table of port and MMIO accesses: which node's devices answer where. */

import { probe } from "../machine/builtin.ts";
import * as map from "../machine/map.ts";
import { type Place, slowRoutes } from "../protocol/forward.ts";
import type { PortRange } from "./dataplane.ts";

function fast(space: "port" | "mmio", first: number, last: number, node: number): PortRange {
  return {
    space,
    firstU64: BigInt(first),
    lastU64: BigInt(last),
    node,
    speed: "fast",
  };
}

/** Everything else reads as all ones and takes writes without effect, on the vCPU's own node. */
export function deviceRoutes(node: number, slow: readonly Place[]): readonly PortRange[] {
  const native = [
    fast("port", map.uartPort, map.uartPort + 7, node),
    fast("port", 0x20, 0x21, node),
    fast("port", 0x40, 0x43, node),
    fast("port", 0x60, 0x64, node),
    fast("port", 0x70, 0x71, node),
    fast("port", 0x92, 0x92, node),
    fast("port", 0xa0, 0xa1, node),
    fast("port", map.crtcPort, map.crtcPort + 1, node),
    fast("port", 0x4d0, 0x4d1, node),
    fast("port", map.debugExitPort, map.debugExitPort, node),
    fast("port", map.probePort, map.probePort + probe.ports - 1, node),
    fast("port", map.pm1aEvent, map.pmTimer + 3, node),
    // PCI's registers, and within them the reset register 0xCF9.
    fast("port", map.pciAddressPort, map.pciDataPort + 3, node),
    fast("mmio", map.pciWindowGpa, map.pciWindowGpa + map.pciWindowBytes - 1, node),
    fast("mmio", map.ecamGpa, map.ecamGpa + map.ecamBytes - 1, node),
    fast("mmio", map.ioApicGpa, map.ioApicGpa + 0xfff, node),
    fast("mmio", map.probeGpa, map.probeGpa + probe.bytes - 1, node),
  ];
  return [...native, ...slowRoutes(slow, native)];
}
