/**
 * @module What a console printed so far, and waiting for something to appear in it: an "expect".
 */

/** Both ends of a text that is too long for a sentence. */
export function excerpt(text: string, most = 1000): string {
  if (text.length <= most) return text;
  const half = most / 2;
  return `${text.slice(0, half)} [${text.length - most} characters] ${text.slice(-half)}`;
}

type Waiter = {
  readonly pattern: RegExp;
  /** The pattern is one line: those that were looked at need not be again. */
  readonly line: boolean;
  from: number;
  readonly done: (match: RegExpMatchArray | undefined) => void;
};

export class Transcript {
  text = "";
  readonly #decoder = new TextDecoder();
  readonly #listener: (text: string) => void;
  #waiters: Waiter[] = [];
  #closed = false;

  /** @param listener sees each piece as it arrives, for live progress. */
  constructor(listener: (text: string) => void = () => {}) {
    this.#listener = listener;
  }

  push(bytes: Uint8Array): void {
    const text = this.#decoder.decode(bytes, { stream: true }).replaceAll("\r", "");
    this.text += text;
    this.#listener(text);
    this.#check();
  }

  /** Nothing more will come: a line that was begun ends, whoever still waits gets undefined. */
  close(): void {
    this.#closed = true;
    if (this.text !== "" && !this.text.endsWith("\n")) this.#listener("\n");
    this.#check();
  }

  /**
   * The first match at or after `from` (an earlier length of `text`); undefined once closed. Text
   * comes in any pieces: a pattern that wants a whole line ends in a line break.
   */
  wait(pattern: RegExp, from = 0): Promise<RegExpMatchArray | undefined> {
    return this.#wait({ pattern, from, line: false });
  }

  /** The same for a pattern of one line with its break; cheap also where much else is printed. */
  waitLine(pattern: RegExp, from = 0): Promise<RegExpMatchArray | undefined> {
    return this.#wait({ pattern, from, line: true });
  }

  #wait(wanted: Omit<Waiter, "done">): Promise<RegExpMatchArray | undefined> {
    const { promise, resolve } = Promise.withResolvers<RegExpMatchArray | undefined>();
    this.#waiters.push({ ...wanted, done: resolve });
    this.#check();
    return promise;
  }

  #check(): void {
    this.#waiters = this.#waiters.filter((waiter) => {
      const match = this.text.slice(waiter.from).match(waiter.pattern);
      if (!match && waiter.line) {
        waiter.from = Math.max(waiter.from, this.text.lastIndexOf("\n") + 1);
      }
      if (!match && !this.#closed) return true;
      waiter.done(match ?? undefined);
      return false;
    });
  }
}
