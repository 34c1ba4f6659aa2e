/** @module Everything the doctor looks at, in the order in which a newcomer would fix it. */

import type { Lookup } from "../../net/addresses.ts";
import type { Finding } from "./finding.ts";
import { kernelVersion, limits, userfault } from "./kernel.ts";
import { kvmFindings } from "./kvm.ts";
import { frequency, memory, processor, scheduling, swap } from "./machine.ts";
import { interfaces, socketBuffers } from "./network.ts";
import { peer } from "./peer.ts";
import { type Given, peerList } from "./peers.ts";
import { splitLocks } from "./splitlock.ts";
import type { HostSource } from "./source.ts";

export async function examine(
  host: HostSource,
  given: Given,
  build: string,
  find?: Lookup,
): Promise<readonly Finding[]> {
  const { findings, addresses, own } = await peerList(given, find);
  return [
    ...kvmFindings(host),
    kernelVersion(host),
    userfault(host),
    ...processor(host),
    ...splitLocks(host),
    ...frequency(host),
    scheduling(host),
    memory(host),
    swap(host),
    ...limits(host),
    ...interfaces(host),
    await socketBuffers(host),
    ...findings,
    ...(await Promise.all(
      given.peers.map((each, i) => peer(host, { ...each, address: addresses[i], own }, build)),
    )),
  ];
}

export function findingText(finding: Finding): string {
  const mark = { ok: "ok  ", warn: "warn", fail: "FAIL" }[finding.level];
  const line = `${mark}  ${finding.name.padEnd(16)} ${finding.found}`;
  return finding.cure === null ? line : `${line}\n        -> ${finding.cure}`;
}
