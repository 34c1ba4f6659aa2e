/**
 * @module Console output on its way to another node. A guest prints byte by byte, so what gathers
 * between two sends travels together; what a console that takes nothing leaves behind is bounded.
 */

const pieceBytes = 32 * 1024;
const waitingBytesMax = 1 << 20;

export class ConsoleOutput {
  readonly #waiting: Uint8Array[] = [];
  #bytes = 0;
  /** Bytes that found no room. */
  lost = 0;

  push(bytes: Uint8Array): void {
    if (this.#bytes + bytes.length > waitingBytesMax) {
      this.lost += bytes.length;
      return;
    }
    this.#waiting.push(bytes);
    this.#bytes += bytes.length;
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
