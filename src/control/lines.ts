/** @module Lines over a stream socket, both ways: pieces become lines, and what does not fit now
 * waits for the socket. */

/** Pure: bytes as they come, whole lines out. */
export class LineReader {
  readonly #most: number;
  readonly #decoder = new TextDecoder();
  #rest = "";

  /** @param most characters of a line. */
  constructor(most: number) {
    this.#most = most;
  }

  /** The lines that are complete now; undefined when one is too long. */
  take(bytes: Uint8Array): readonly string[] | undefined {
    const parts = (this.#rest + this.#decoder.decode(bytes, { stream: true })).split("\n");
    this.#rest = parts.pop() ?? "";
    const long = [this.#rest, ...parts].some((line) => line.length > this.#most);
    return long ? undefined : parts;
  }
}

export type Writable = { write(bytes: Uint8Array): number };

/** What waits to be written to one socket. */
export class Outgoing {
  #waiting: Uint8Array[] = [];

  push(socket: Writable, text: string): void {
    this.#waiting.push(new TextEncoder().encode(text));
    this.flush(socket);
  }

  /** Writes what the socket takes; to be called again when it drains. */
  flush(socket: Writable): void {
    for (let first = this.#waiting[0]; first !== undefined; first = this.#waiting[0]) {
      // Negative: the other side has gone, and its answers with it.
      const written = socket.write(first);
      if (written < 0) this.#waiting = [];
      else if (written < first.length) {
        this.#waiting[0] = first.subarray(written);
        return;
      } else this.#waiting.shift();
    }
  }
}
