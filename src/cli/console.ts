/**
 * @module The guest's output on its way to standard output, which may be slow: what is not written
 * yet waits here, and beyond a bound the guest is asked to wait too.
 */

import { write as writeFile } from "node:fs";

/** Where the bytes go; `done` is called once they have left, at once or later. */
export type Sink = (bytes: Uint8Array, done: (error?: Error | null) => void) => unknown;

/** One at a time, so that a slow reader is seen to read. */
const pieceBytes = 4096;
/** Until a descriptor that somebody has made non-blocking is tried again; nothing tells when. */
const againMs = 5;
/** More than a burst of a guest that is read as fast as it prints. */
const waitingBytesMax = 64 * 1024;
/** How long a reader may take for a piece when somebody wants the end. */
const hurryMs = 1000;

/**
 * Writes to a descriptor in a thread of its own, which may wait for the reader. Not by
 * process.stdout: on a slow terminal its callback is sometimes never called, and it makes the
 * descriptor non-blocking for all who share it.
 */
export function descriptorSink(fd: number): Sink {
  const sink: Sink = (bytes, done) => {
    writeFile(fd, bytes, 0, bytes.length, null, (error, count) => {
      if (error?.code === "EAGAIN") setTimeout(() => sink(bytes, done), againMs);
      else if (error !== null || count === bytes.length) done(error);
      else sink(bytes.subarray(count), done);
    });
  };
  return sink;
}

export class ConsoleWriter {
  /** Called after `write` has said no: more is welcome again. */
  onReady: () => void = () => {};
  /** Called once, with the first write that fails; all that follows is dropped. */
  onGone: (error: Error & { readonly code?: string }) => void = () => {};
  readonly #sink: Sink;
  readonly #waiting: Uint8Array[] = [];
  #bytes = 0;
  #writing = false;
  #full = false;
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
      const piece = this.#next();
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

  /** What waits, in one piece where it is short. */
  #next(): Uint8Array | undefined {
    let bytes = 0;
    let count = 0;
    for (const { length } of this.#waiting) {
      if (count > 0 && bytes + length > pieceBytes) break;
      bytes += length;
      count += 1;
    }
    const parts = this.#waiting.splice(0, count);
    return parts.length > 1 ? Buffer.concat(parts) : parts[0];
  }

  #written(piece: Uint8Array, error: Error | null | undefined): void {
    this.#writing = false;
    this.#bytes -= piece.length;
    if (error === undefined || error === null) return;
    this.#gone = true;
    this.#waiting.length = 0;
    this.#bytes = 0;
    this.onGone(error);
  }
}
