/** @module The compiled program as tests start it: from a folder of its own, always ended. */

import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export const executable = join(import.meta.dir, "../dist/giantvm");

/** Why guests cannot run here; undefined when they can. */
export function kvmMissing(): string | undefined {
  return existsSync("/dev/kvm") ? undefined : "no /dev/kvm on this machine";
}

export type Finished = {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | number | null;
  readonly stdout: string;
  readonly stderr: string;
};

export type Started = {
  readonly process: Bun.Subprocess<"ignore" | "pipe", "pipe", "pipe">;
  readonly finished: Promise<Finished>;
  /** Resolves to the log (stderr) when it contains the text; rejects when it ends without. */
  logged(text: string): Promise<string>;
  /** So of what the guest prints (stdout). */
  printed(text: string): Promise<string>;
};

/** A folder that is gone with the test. */
export function temporaryFolder() {
  const path = mkdtempSync(join(tmpdir(), "giantvm-test-"));
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
}

export type StartOptions = {
  readonly cwd?: string;
  readonly env?: Record<string, string>;
  readonly stdin?: "ignore" | "pipe";
  /** Words before the program: a host that lacks something (hosts.ts). */
  readonly under?: readonly string[];
};

export function start(args: readonly string[], options: StartOptions = {}): Started {
  const child = Bun.spawn([...(options.under ?? []), executable, ...args], {
    cwd: options.cwd ?? tmpdir(),
    env: { PATH: process.env["PATH"] ?? "", ...options.env },
    stdin: options.stdin ?? "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const log = new Log();
  const output = new Log();
  const finished = (async () => {
    await Promise.all([output.read(child.stdout), log.read(child.stderr), child.exited]);
    const [stdout, stderr] = [output.text, log.text];
    return { code: child.exitCode, signal: child.signalCode, stdout, stderr };
  })();
  const contains = (stream: Log) => async (text: string) => {
    await stream.contains(text);
    return stream.text;
  };
  return { process: child, finished, logged: contains(log), printed: contains(output) };
}

/** Text of a stream as it comes, with a way to wait for words in it. */
export class Log {
  text = "";
  #done = false;
  readonly #waiting: (() => void)[] = [];

  async read(stream: ReadableStream<Uint8Array>): Promise<void> {
    const decoder = new TextDecoder();
    for await (const chunk of stream) {
      this.text += decoder.decode(chunk, { stream: true });
      for (const wake of this.#waiting.splice(0)) wake();
    }
    this.text += decoder.decode();
    this.#done = true;
    for (const wake of this.#waiting.splice(0)) wake();
  }

  /** Resolves when the text is there, at or after `from`; rejects when the stream ends without. */
  async contains(text: string, from = 0): Promise<void> {
    while (!this.text.includes(text, from)) {
      if (this.#done) throw new Error(`"${text}" was never logged: ${this.text}`);
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }
}

export function run(args: readonly string[], options: StartOptions = {}): Promise<Finished> {
  return start(args, options).finished;
}
