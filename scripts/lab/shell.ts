/**
 * @module A shell on an emulated host beside the guest's console: what giantvm itself is asked
 * there (`giantvm debug`, `giantvm hot`) does not pass through the guest.
 */

import { Transcript } from "./transcript.ts";

export class HostShell {
  readonly #transcript = new Transcript();
  readonly #listener: Bun.TCPSocketListener<undefined>;
  readonly #connected: Promise<Bun.Socket<undefined>>;
  #asked = 0;

  constructor() {
    const { promise, resolve } = Promise.withResolvers<Bun.Socket<undefined>>();
    this.#connected = promise;
    this.#listener = Bun.listen({
      hostname: "127.0.0.1",
      port: 0,
      socket: {
        open: resolve,
        data: (_socket, bytes) => this.#transcript.push(bytes),
        error: () => {},
      },
    });
  }

  /** What QEMU connects the host's third console to. */
  get port(): number {
    return this.#listener.port;
  }

  /**
   * Runs a command of sh, one line.
   * @returns what it printed, on both streams; undefined when the host went away before.
   */
  async ask(command: string): Promise<string | undefined> {
    this.#asked += 1;
    const end = `END-${this.#asked}-`;
    const from = this.#transcript.text.length;
    const found = this.#transcript.waitLine(new RegExp(`${end}\\d+\\n`), from);
    const socket = await Promise.race([this.#connected, found]);
    if (socket === undefined || !("write" in socket)) return undefined;
    socket.write(`{ ${command}; } </dev/null 2>&1; echo "${end}$?"\n`);
    if ((await found) === undefined) return undefined;
    const { text } = this.#transcript;
    return text.slice(from, text.lastIndexOf(end));
  }

  /** QEMU has ended. */
  close(): void {
    this.#listener.stop(true);
    this.#transcript.close();
  }
}
