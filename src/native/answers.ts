/** @module Questions for the engine thread until it answers (native/zig/engine/desk.zig). */

/** How it answered (abi.zig, EventKind.answer); anything else is late. */
const answered = 0;
const stopped = 2;
/** The engine gives up after 5 s; one that hangs answers nothing at all. */
const engineHangsMs = 7000;

export class EngineAnswers {
  readonly #waiting = new Map<number, (status: number, data: Uint8Array) => void>();

  /** Resolves with the answer to this id; rejects with a sentence when there is none. */
  of(id: number, gpaU64: bigint): Promise<Uint8Array> {
    const { promise, resolve, reject } = Promise.withResolvers<Uint8Array>();
    const timer = setTimeout(() => {
      this.#waiting.delete(id);
      reject(new Error(`the engine has not answered for ${engineHangsMs / 1000} s: it hangs`));
    }, engineHangsMs);
    this.#waiting.set(id, (status, data) => {
      clearTimeout(timer);
      this.#waiting.delete(id);
      if (status === answered) return resolve(data);
      const at = `0x${gpaU64.toString(16)}`;
      const late = `the page at ${at} did not come within 5 s: ask for page ${at}`;
      reject(new Error(status === stopped ? "the memory engine has stopped" : late));
    });
    return promise;
  }

  /** The engine's event; one that nobody waits for any more is dropped. */
  came(id: number, status: number, data: Uint8Array): void {
    this.#waiting.get(id)?.(status, data);
  }
}
