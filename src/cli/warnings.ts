/** @module What a user should know before anything runs. */

import type { RunConfig } from "../config/run.ts";
import type { ResolvedPeer } from "../net/addresses.ts";
import type { Log } from "../node/options.ts";
import { availableMib } from "../observe/doctor/machine.ts";
import type { HostSource } from "../observe/doctor/source.ts";

const mib = 1 << 20;

export function warnAtStart(
  config: RunConfig,
  node: number,
  self: ResolvedPeer,
  host: Pick<HostSource, "text">,
  log: Log,
): void {
  if (config.peers.length > 1) {
    log.warn(
      `node ${node} of ${config.peers.length} on ${self.address}:${self.port}; ` +
        "there is no authentication yet: keep this network to yourself",
    );
  }
  const available = availableMib(host);
  if (available !== undefined && config.memoryBytes > available * mib) {
    log.warn(
      `--local-memory gives ${config.memoryBytes / mib} MiB and this host has ${available} MiB ` +
        "available: the kernel ends giantvm when the guest uses more than there is; give less",
    );
  }
  if (config.guardOff !== "") {
    log.warn(
      `the coherence guard ${config.guardOff} is switched off: the guest's memory may be wrong; ` +
        "--guard-off is for tests alone",
    );
  }
}
