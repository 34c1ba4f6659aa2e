/**
 * @module Where a guest that is given up was: what giantvm on the first host says of the vCPUs of
 * all nodes, and of the pages they wait for.
 */

import type { HostShell } from "./shell.ts";

/**
 * Asks one thing after the other; an answer is told at once, as the next one may not come.
 * @param symbols Whether the host's own symbols are the guest's: others' names would mislead.
 */
export async function askWhere(
  shell: Pick<HostShell, "ask">,
  symbols: boolean,
  tell: (text: string) => void,
): Promise<void> {
  const ask = async (what: string) => {
    const text = (await shell.ask(`giantvm debug ${what}`)) ?? "";
    tell(text);
    return text;
  };
  const waits = (await ask("registers")).matchAll(/waits for page (0x[\da-f]+)/g);
  for (const page of new Set([...waits].map(([, gpa]) => gpa))) await ask(`page ${page}`);
  if (symbols) await ask("backtrace --symbols /proc/kallsyms");
  await ask("counters");
}
