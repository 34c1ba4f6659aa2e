/**
 * @module Console output on its way to another node. A guest prints byte by byte, so what gathers
 * between two sends travels together; while that is much the guest waits.
 */

const pieceBytes = 32 * 1024;
const waitingBytesMax = 128 * 1024;

export class ConsoleOutput {
  readonly #waiting: Uint8Array[] = [];
  #bytes = 0;

  /** @returns whether there is room for more. */
  push(bytes: Uint8Array): boolean {
    this.#waiting.push(bytes);
    this.#bytes += bytes.length;
    return this.#bytes < waitingBytesMax;
  }

  /** Everything that waits, in pieces of one message each. */
  take(): readonly Uint8Array[] {
    const all = Buffer.concat(this.#waiting.splice(0));
    this.#bytes = 0;
    const pieces: Uint8Array[] = [];
    for (let at = 0; at < all.length; at += pieceBytes) {
      pieces.push(all.subarray(at, at + pieceBytes));
    }
    return pieces;
  }
}
