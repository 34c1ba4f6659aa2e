/**
 * @module The guest's console on a terminal: raw, so that Ctrl-C is a key of the guest; Ctrl-A x
 * ends the VM, Ctrl-A h helps, Ctrl-A a sends Ctrl-A (the habits of QEMU). Elsewhere it only pipes.
 */

const prefix = 0x01;

export type KeyAction =
  | { readonly kind: "bytes"; readonly bytes: Uint8Array }
  | { readonly kind: "quit" }
  | { readonly kind: "help" }
  | { readonly kind: "power" }
  | { readonly kind: "status" };

/** Splits typed bytes into what the guest gets and what is meant for us. */
export class KeyReader {
  #escaped = false;

  read(bytes: Uint8Array): readonly KeyAction[] {
    const actions: KeyAction[] = [];
    let plain: number[] = [];
    const flush = () => {
      if (plain.length > 0) actions.push({ kind: "bytes", bytes: Uint8Array.from(plain) });
      plain = [];
    };
    for (const byte of bytes) {
      if (!this.#escaped) {
        if (byte === prefix) this.#escaped = true;
        else plain.push(byte);
        continue;
      }
      this.#escaped = false;
      switch (String.fromCharCode(byte)) {
        case "x":
          flush();
          actions.push({ kind: "quit" });
          break;
        case "p":
          flush();
          actions.push({ kind: "power" });
          break;
        case "h":
        case "?":
          flush();
          actions.push({ kind: "help" });
          break;
        case "c":
          flush();
          actions.push({ kind: "status" });
          break;
        case "a":
        case "\x01":
          plain.push(prefix);
          break;
        default:
          plain.push(prefix, byte);
      }
    }
    flush();
    return actions;
  }
}

export const keyHelp = `
Ctrl-A x  end the VM on all nodes
Ctrl-A p  press the guest's power button
Ctrl-A c  counters of this node and its vCPUs' registers
Ctrl-A h  this help
Ctrl-A a  send Ctrl-A
`.replaceAll("\n", "\r\n");

export type Terminal = {
  /** After `onKeys` has said no: reads on. */
  readonly resume: () => void;
  readonly close: () => void;
};

/**
 * Makes the terminal raw and reads it; returns what restores it.
 * @param onKeys returns false: no more, please, until `resume`. A terminal is read all the same, as
 * Ctrl-A x may come.
 */
export function openTerminal(
  onKeys: (action: KeyAction) => boolean,
  interactive: boolean,
): Terminal {
  const { stdin } = process;
  const keys = new KeyReader();
  const raw = interactive && stdin.isTTY;
  const restore = () => {
    try {
      if (raw) stdin.setRawMode(false);
    } catch {
      // The terminal has hung up: there is nothing left to restore.
    }
  };
  const onData = (bytes: Buffer) => {
    if (raw) for (const action of keys.read(new Uint8Array(bytes))) onKeys(action);
    else if (!onKeys({ kind: "bytes", bytes: new Uint8Array(bytes) })) stdin.pause();
  };
  if (raw) {
    stdin.setRawMode(true);
    process.on("exit", restore);
  }
  if (interactive) {
    stdin.on("data", onData);
    // A closed input is no reason to end the VM: `giantvm run </dev/null` is a server's way.
    stdin.on("error", () => {});
  }
  return {
    resume: () => void stdin.resume(),
    close: () => {
      restore();
      stdin.off("data", onData);
      stdin.pause();
    },
  };
}
