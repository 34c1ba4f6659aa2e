/**
 * @module What the built-in guest says on its console, line by line (native/zig/guest/main.zig):
 * `check NAME ok|fail COST UNIT TEXT` and at the end `verdict pass|fail`; all else is for people.
 */

export type Check = {
  readonly name: string;
  readonly ok: boolean;
  readonly cost: { readonly value: number; readonly unit: string };
  /** What the cost is per, or what went wrong. */
  readonly text: string;
};

export type GuestLine =
  | { readonly kind: "check"; readonly check: Check }
  | { readonly kind: "verdict"; readonly pass: boolean }
  | { readonly kind: "text"; readonly text: string };

const checkPattern = /^check (\S+) (ok|fail) (\d+\.\d+) (\S+)(?: (.*))?$/;
const verdictPattern = /^verdict (pass|fail)$/;

export function readLine(line: string): GuestLine {
  const verdict = verdictPattern.exec(line);
  if (verdict !== null) return { kind: "verdict", pass: verdict[1] === "pass" };
  const [, name, outcome, value, unit, text] = checkPattern.exec(line) ?? [];
  if (name === undefined || value === undefined || unit === undefined) {
    return { kind: "text", text: line };
  }
  const cost = { value: Number(value), unit };
  return { kind: "check", check: { name, ok: outcome === "ok", cost, text: text ?? "" } };
}

/** Cuts a stream of bytes into lines; what follows the last line end waits for more. */
export class Lines {
  readonly #decoder = new TextDecoder();
  #rest = "";

  push(bytes: Uint8Array): readonly string[] {
    const parts = (this.#rest + this.#decoder.decode(bytes, { stream: true })).split(/\r?\n/);
    this.#rest = parts.pop() ?? "";
    return parts;
  }

  /** What came after the last line end. */
  end(): readonly string[] {
    const rest = this.#rest + this.#decoder.decode();
    this.#rest = "";
    return rest === "" ? [] : [rest];
  }
}
