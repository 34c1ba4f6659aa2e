/** @module What a user should know before anything runs, and what keeps it from running at all. */

import type { RunConfig } from "../config/run.ts";
import type { ResolvedPeer } from "../net/addresses.ts";
import type { Log } from "../node/options.ts";
import type { Hello } from "../protocol/messages.ts";
import { sentence } from "../observe/doctor/finding.ts";
import { settingFindings, softwareFindings } from "../observe/doctor/kvm.ts";
import { availableMib, clockFindings } from "../observe/doctor/machine.ts";
import type { HostSource } from "../observe/doctor/source.ts";
import { splitLocks } from "../observe/doctor/splitlock.ts";
import { exitCode, Failure } from "./failure.ts";

const mib = 1 << 20;

/** Several nodes with a guest that changes its page tables, as far as this one knows. */
function sharesKernel(config: RunConfig): boolean {
  return config.peers.length > 1 && config.images !== undefined;
}

/**
 * Why a kernel over several nodes would run wrong here, without a word of why; else empty. The
 * built-in guest changes no page tables and does with less.
 */
function kernelObstacle(host: Pick<HostSource, "text">): string {
  const [obstacle] = settingFindings(host);
  return obstacle === undefined ? "" : sentence(obstacle);
}

/** What the other nodes hear of it: whether this one brings the kernel, and what is in its way. */
export function kernelNeeds(
  config: RunConfig,
  node: number,
  host: Pick<HostSource, "text">,
): Pick<Hello, "kernel" | "obstacle"> {
  const kernel = node === 0 && config.images !== undefined;
  return { kernel, obstacle: kernelObstacle(host) };
}

/** @throws Failure before all else; who is given no kernel is refused by node 0 that has one. */
export function refuseAtStart(config: RunConfig, host: Pick<HostSource, "text">): void {
  const obstacle = sharesKernel(config) ? kernelObstacle(host) : "";
  if (obstacle !== "") throw new Failure(exitCode.host, obstacle);
}

type Host = Pick<HostSource, "text" | "exists">;

export function warnAtStart(
  config: RunConfig,
  node: number,
  self: ResolvedPeer,
  host: Host,
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
  const paging = sharesKernel(config) ? softwareFindings(host) : [];
  const findings = [...paging, ...clockFindings(host), ...splitLocks(host)];
  for (const finding of findings) log.warn(sentence(finding));
}
