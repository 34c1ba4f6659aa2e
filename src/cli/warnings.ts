/** @module What a user should know before anything runs. */

import type { RunConfig } from "../config/run.ts";
import type { ResolvedPeer } from "../net/addresses.ts";
import type { Log } from "../node/options.ts";

export function warnAtStart(config: RunConfig, node: number, self: ResolvedPeer, log: Log): void {
  if (config.peers.length > 1) {
    log.warn(
      `node ${node} of ${config.peers.length} on ${self.address}:${self.port}; ` +
        "there is no authentication yet: keep this network to yourself",
    );
  }
  if (config.guardOff !== "") {
    log.warn(
      `the coherence guard ${config.guardOff} is switched off: the guest's memory may be wrong; ` +
        "--guard-off is for tests alone",
    );
  }
}
