/** @module DSDT: soft-off and the serial port, all the guest has to be told in AML so far. */

import { Fields } from "../bytes.ts";
import { s5SleepType, uartIrq, uartPort } from "../map.ts";
import { buffer, device, eisaId, integer, ioAndIrq, named, packageOf, scope } from "./aml.ts";
import { table } from "./table.ts";

export function dsdt(): Uint8Array {
  const softOff = packageOf([integer(s5SleepType), integer(0), integer(0), integer(0)]);
  const com1 = device("COM1", [
    named("_HID", eisaId("PNP0501")),
    named("_UID", integer(1)),
    named("_STA", integer(0x0f)),
    named("_CRS", buffer(ioAndIrq(uartPort, 8, uartIrq))),
  ]);
  const body = new Fields().raw(named("_S5", softOff)).raw(scope("_SB", [com1]));
  return table("DSDT", 2, body.bytes());
}
