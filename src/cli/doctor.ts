/** @module `giantvm doctor`: what this host has for giantvm, what it lacks, and the cures. */

import { parseHost, parsePeers } from "../config/peers.ts";
import { examine, findingText } from "../observe/doctor/index.ts";
import { type Probe, realHost, type SocketProbe } from "../observe/doctor/source.ts";
import { exitCode, Failure } from "./failure.ts";
import type { Flags } from "./flags.ts";
import { buildId } from "./version.ts";

const exits = { fine: 0, lacking: 3 } as const;
/**
 * @param flags `json`, `peers` (comma or blank separated), `self`
 * @param probe asks the native library; undefined when it cannot be loaded
 * @param sockets what the kernel grants to sockets
 * @returns the exit code: 3 when something needed is missing
 */
export async function doctor(
  flags: Flags,
  probe: () => Probe | undefined,
  sockets: SocketProbe,
): Promise<number> {
  const { peers: list, self } = flags;
  if (self !== undefined && list === undefined) {
    throw new Failure(exitCode.usage, `--self ${self}: give --peers, of which it is one`);
  }
  if (self !== undefined) parseHost(self, "--self");
  const given = { peers: list === undefined ? [] : parsePeers(list), self };
  const findings = await examine(realHost(probe, sockets), given, buildId);
  const failed = findings.filter((finding) => finding.level === "fail");
  if (flags["json"] === "true") {
    process.stdout.write(`${JSON.stringify({ ok: failed.length === 0, findings })}\n`);
  } else {
    const warned = findings.filter((finding) => finding.level === "warn").length;
    const end =
      failed.length === 0
        ? `This host can run giantvm${warned === 0 ? "" : `; remarks: ${warned}`}.`
        : `This host cannot run giantvm yet: ${failed.length} of ${findings.length} failed.`;
    const lasting = warned + failed.length === 0 ? [] : ["Cures that last: docs/host-setup.md."];
    process.stdout.write(`${[...findings.map(findingText), "", end, ...lasting].join("\n")}\n`);
  }
  return failed.length === 0 ? exits.fine : exits.lacking;
}
