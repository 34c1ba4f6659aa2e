/**
 * @module PCI as the tables tell it: where configuration space is (MCFG, PCI Firmware 3.3, 4.1.2),
 * and the root bridge's part of the DSDT with its windows and the wiring of the INTA# lines.
 */

import { Fields } from "../bytes.ts";
import {
  ecamBytes,
  ecamGpa,
  pciAddressPort,
  pciDevices,
  pciFirstGsi,
  pciGsis,
  pciWindowBytes,
  pciWindowGpa,
} from "../map.ts";
import {
  argument,
  device,
  dwordField,
  eisaId,
  equal,
  ifThen,
  integer,
  method,
  named,
  or,
  packageOf,
  reference,
  returned,
  uuid,
} from "./aml.ts";
import { busNumbers, memory, memoryWindow, ports, template } from "./resources.ts";
import { table } from "./table.ts";

const lastBus = ecamBytes / 0x10_0000 - 1;

export function mcfg(): Uint8Array {
  const fields = new Fields().u64(0n).u64(BigInt(ecamGpa));
  return table("MCFG", 1, fields.u16(0).u8(0, lastBus).u32(0).bytes());
}

/** INTA# of each device: an interrupt of the I/O APIC's without a link in between (6.2.13). */
function interruptRouting(): Uint8Array {
  const wires = [];
  for (let number = 1; number < pciDevices; number += 1) {
    const anyFunction = ((number << 16) | 0xffff) >>> 0;
    const gsi = pciFirstGsi + (number % pciGsis);
    wires.push(packageOf([integer(anyFunction), integer(0), integer(0), integer(gsi)]));
  }
  return packageOf(wires);
}

/**
 * What the operating system may control by itself (6.2.11, PCI Firmware 3.3, 4.5): all it asks
 * for, since no firmware runs that could keep anything.
 */
function osCapabilities(): Uint8Array {
  const unrecognized = 4;
  const pciHostBridge = uuid("33db4d5b-1ff7-401c-9657-7441c03dd766");
  return method("_OSC", 4, [
    ifThen(equal(argument(0), pciHostBridge), [returned(argument(3))]),
    dwordField(argument(3), integer(0), "STAT"),
    or(reference("STAT"), integer(unrecognized), "STAT"),
    returned(argument(3)),
  ]);
}

/**
 * The root bridge, and a device that holds the ECAM, which is no window of the bridge's. `node`:
 * where the devices are, so that drivers take memory there for what both sides touch.
 */
export function pciDevicesOfDsdt(node: number): readonly Uint8Array[] {
  const root = device("PCI0", [
    named("_HID", eisaId("PNP0A08")),
    named("_CID", eisaId("PNP0A03")),
    named("_UID", integer(0)),
    named("_SEG", integer(0)),
    named("_BBN", integer(0)),
    named("_PXM", integer(node)),
    named(
      "_CRS",
      template([
        busNumbers(0, lastBus),
        ports(pciAddressPort, 8),
        memoryWindow(pciWindowGpa, pciWindowBytes),
      ]),
    ),
    named("_PRT", interruptRouting()),
    osCapabilities(),
  ]);
  const ecam = device("ECAM", [
    named("_HID", eisaId("PNP0C02")),
    named("_UID", integer(0)),
    named("_CRS", template([memory(ecamGpa, ecamBytes)])),
  ]);
  return [root, ecam];
}
