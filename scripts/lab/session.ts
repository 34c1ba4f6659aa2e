/**
 * @module This terminal as the guest's console: raw while the guest has it, so that Ctrl-C is a key
 * of the guest. giantvm's own keys (Ctrl-A x and others) are read on the emulated host.
 */

import type { Session } from "./run.ts";

type Input = Pick<NodeJS.ReadStream, "isTTY" | "on" | "off" | "pause" | "setRawMode">;
type Output = Pick<NodeJS.WriteStream, "write" | "rows" | "columns">;

/**
 * The guest's shell edits lines only where its terminal echoes; the lab's init turns that off. A
 * terminal that nobody has told its size says 0, which stty refuses.
 */
function awake({ rows, columns }: Output): string {
  return `stty sane rows ${rows || 24} cols ${columns || 80}\n`;
}

const endOfInput = "\x04";

export type Console = { readonly session: Session; readonly close: () => void };

/** Input and output of this process, or of a test. */
export function consoleSession(stdin: Input, stdout: Output, say: (line: string) => void): Console {
  const raw = stdin.isTTY;
  let type: ((bytes: Uint8Array | string) => void) | undefined;
  const onData = (bytes: Buffer) => type?.(new Uint8Array(bytes));
  const onEnd = () => type?.(endOfInput);
  const restore = () => {
    if (raw) stdin.setRawMode(false);
  };
  return {
    session: {
      attach: (toGuest) => {
        type = toGuest;
        say(
          "this terminal is the guest's: exit or poweroff -f ends it, Ctrl-A x too, Ctrl-A h helps",
        );
        if (raw) {
          stdin.setRawMode(true);
          process.on("exit", restore);
          toGuest(awake(stdout));
        }
        stdin.on("data", onData);
        stdin.on("end", onEnd);
      },
      output: (bytes) => void stdout.write(bytes),
    },
    close: () => {
      stdin.off("data", onData);
      stdin.off("end", onEnd);
      process.off("exit", restore);
      restore();
      stdin.pause();
    },
  };
}
