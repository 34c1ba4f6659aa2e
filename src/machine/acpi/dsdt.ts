/** @module DSDT: soft-off, the PCI root and the serial port, all the guest is told in AML. */

import { Fields } from "../bytes.ts";
import { s5SleepType, uartIrq, uartPort } from "../map.ts";
import { device, eisaId, integer, named, packageOf, scope } from "./aml.ts";
import { pciDevicesOfDsdt } from "./pci.ts";
import { isaInterrupt, ports, template } from "./resources.ts";
import { table } from "./table.ts";

export function dsdt(deviceNode: number): Uint8Array {
  const softOff = packageOf([integer(s5SleepType), integer(0), integer(0), integer(0)]);
  const com1 = device("COM1", [
    named("_HID", eisaId("PNP0501")),
    named("_UID", integer(1)),
    named("_STA", integer(0x0f)),
    named("_CRS", template([ports(uartPort, 8), isaInterrupt(uartIrq)])),
  ]);
  const system = scope("_SB", [...pciDevicesOfDsdt(deviceNode), com1]);
  return table("DSDT", 2, new Fields().raw(named("_S5", softOff)).raw(system).bytes());
}
