/** @module What runs on an emulated host: giantvm as an administrator would start it. */

import { diskPath, withDiskCheck } from "./disk.ts";
import { hostAddress } from "./host.ts";
import type { Scenario } from "./scenarios.ts";
import { threadsCommand } from "./threads.ts";

/** An emulated host on a busy machine stalls for long. */
const silenceMs = 30_000;

function shellQuoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

/** Shell text for host `node`. */
export function hostCommand(scenario: Scenario, node: number): string {
  const share = scenario.nodes[node];
  if (share === undefined) throw new RangeError(`${scenario.name} has no node ${node}`);
  const { guest } = scenario;
  if (typeof guest === "object") return threadsCommand(scenario, guest, node, silenceMs);
  const line = shellQuoted(scenario.watched?.commandLine ?? "");
  const initrd = "--initrd /images/guest.cpio";
  const files = {
    linux: `--kernel /images/vmlinuz ${initrd}`,
    // Short checks: a fault costs ten times what it does on a real host.
    builtin: "--scale 5",
    watched: `--kernel /images/vmlinuz ${initrd} --command-line ${line}`,
  };
  const words = [
    `giantvm run -v --local-cpu ${share.cpus} --local-memory ${share.memory}`,
    files[guest],
    `--silence ${silenceMs} --report /tmp/report --control /tmp/control`,
  ];
  const { cacheMemory } = scenario;
  if (cacheMemory !== undefined) words.push(`--cache-memory ${cacheMemory}`);
  if (scenario.disk === true) words.push(`--disk path=${diskPath}`);
  if (scenario.append !== undefined) words.push(`--append ${shellQuoted(scenario.append)}`);
  if (scenario.nodes.length > 1) {
    const peers = scenario.nodes.map((_, index) => hostAddress(index)).join(",");
    words.push(`--peers ${peers} --self ${hostAddress(node)}`);
  }
  const command = words.join(" ");
  return scenario.disk === true && node === 0 ? withDiskCheck(command) : command;
}
