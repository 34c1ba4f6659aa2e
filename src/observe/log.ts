/** @module The log of a node: one line per event on stderr, human or JSON. Standard output is the
 * guest's console and nothing else. */

import { createConsola } from "consola";
import type { Log } from "../node/options.ts";

const levels = { warn: 1, info: 3, debug: 4 } as const;

export type LogOptions = { readonly verbose: boolean; readonly json: boolean };

export function makeLog(options: LogOptions, write: (line: string) => void): Log {
  const consola = createConsola({
    level: options.verbose ? levels.debug : levels.warn,
    reporters: [
      {
        log: (entry) => {
          const text = entry.args.map(String).join(" ");
          write(
            options.json
              ? JSON.stringify({ time: entry.date.toISOString(), level: entry.type, text })
              : `giantvm: ${text}`,
          );
        },
      },
    ],
  });
  // The environment (CI, TEST, CONSOLA_LEVEL) must not change what an operator asked for.
  consola.level = options.verbose ? levels.debug : levels.warn;
  return {
    info: (text) => consola.info(text),
    warn: (text) => consola.warn(text),
    debug: (text) => consola.debug(text),
    error: (text) => consola.error(text),
  };
}
