/** @module Logs of several hosts as one: they come in pieces and go on by whole lines. */

export class HostLogs {
  readonly #begun = new Map<number, string>();
  readonly #write: (text: string) => void;

  constructor(write: (text: string) => void) {
    this.#write = write;
  }

  add(node: number, text: string): void {
    const lines = ((this.#begun.get(node) ?? "") + text).split("\n");
    this.#begun.set(node, lines.pop() ?? "");
    for (const line of lines) this.#line(node, line);
  }

  #line(node: number, line: string): void {
    this.#write(`[host ${node}] ${line}\n`);
  }
}
