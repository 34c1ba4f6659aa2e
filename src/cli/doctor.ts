/** @module `giantvm doctor`: what this host has for giantvm, what it lacks, and the cures. */

import { examine, findingText } from "../observe/doctor/index.ts";
import { type Probe, realHost } from "../observe/doctor/source.ts";

const exits = { fine: 0, lacking: 3 } as const;
/** The port users give nodes when they name none. */
const portDefault = 7777;

/**
 * @param flags `json`, `peers` (comma or blank separated)
 * @param probe asks the native library; undefined when it cannot be loaded
 * @returns the exit code: 3 when something needed is missing
 */
export async function doctor(
  flags: Readonly<Record<string, unknown>>,
  probe: () => Probe | undefined,
): Promise<number> {
  const given = flags["peers"];
  const peers =
    given === undefined
      ? []
      : String(given)
          .split(/[\s,]+/)
          .filter(Boolean);
  const findings = await examine(realHost(probe), peers, portDefault);
  const failed = findings.filter((finding) => finding.level === "fail");
  if (flags["json"] === true) {
    process.stdout.write(`${JSON.stringify({ ok: failed.length === 0, findings })}\n`);
  } else {
    const warned = findings.filter((finding) => finding.level === "warn").length;
    const end =
      failed.length === 0
        ? `This host can run giantvm${warned === 0 ? "" : `; remarks: ${warned}`}.`
        : `This host cannot run giantvm yet: ${failed.length} of ${findings.length} failed.`;
    process.stdout.write(`${[...findings.map(findingText), "", end].join("\n")}\n`);
  }
  return failed.length === 0 ? exits.fine : exits.lacking;
}
