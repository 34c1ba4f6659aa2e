/**
 * @module The guest's output on its way to standard output, which may be slow: what is not written
 * yet waits here, and beyond a bound the guest is asked to wait too.
 */

/** Where the bytes go; `done` is called once they have left, at once or later. */
export type Sink = (bytes: Uint8Array, done: (error?: Error | null) => void) => unknown;

/** One at a time, so that a slow reader is seen to read. */
const pieceBytes = 4096;
/** More than a burst of a guest that is read as fast as it prints. */
const waitingBytesMax = 64 * 1024;
/** How long a reader may take for a piece when somebody wants the end. */
const hurryMs = 1000;

export class ConsoleWriter {
  /** Called after `write` has said no: more is welcome again. */
  onReady: () => void = () => {};
  readonly #sink: Sink;
  readonly #waiting: Uint8Array[] = [];
  #bytes = 0;
  #writing = false;
  #full = false;
  /** Nobody reads: who watches standard output ends the VM for it. */
  #gone = false;
  #emptied = Promise.withResolvers<void>();

  constructor(sink: Sink) {
    this.#sink = sink;
  }

  /** Takes all of them in any case. @returns whether more is welcome. */
  write(bytes: Uint8Array): boolean {
    if (this.#gone) return true;
    for (let at = 0; at < bytes.length; at += pieceBytes) {
      this.#waiting.push(bytes.subarray(at, at + pieceBytes));
    }
    this.#bytes += bytes.length;
    this.#pump();
    if (this.#bytes > waitingBytesMax) this.#full = true;
    return !this.#full;
  }

  /**
   * Waits until all is written; once `hurry` has come, only while the reader goes on reading.
   * @returns the bytes that were not.
   */
  async flush(hurry: Promise<void>): Promise<number> {
    if (this.#bytes === 0) return 0;
    const { promise } = this.#emptied;
    await Promise.race([promise, hurry]);
    for (let before = -1; this.#bytes > 0 && this.#bytes !== before;) {
      before = this.#bytes;
      await Promise.race([promise, Bun.sleep(hurryMs)]);
    }
    return this.#bytes;
  }

  #pump(): void {
    while (!this.#writing) {
      const piece = this.#waiting.shift();
      if (piece === undefined) break;
      this.#writing = true;
      let atOnce = true;
      this.#sink(piece, (error) => {
        this.#written(piece, error);
        if (!atOnce) this.#pump();
      });
      atOnce = false;
    }
    if (this.#bytes > 0) return;
    this.#emptied.resolve();
    this.#emptied = Promise.withResolvers<void>();
    if (!this.#full) return;
    this.#full = false;
    this.onReady();
  }

  #written(piece: Uint8Array, error: Error | null | undefined): void {
    this.#writing = false;
    this.#bytes -= piece.length;
    if (error === undefined || error === null) return;
    this.#gone = true;
    this.#waiting.length = 0;
    this.#bytes = 0;
  }
}
