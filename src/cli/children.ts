/**
 * @module Nodes as child processes of this same program: started together, heard line by line, and
 * gone without exception when the parent is done with them.
 */

import { Lines } from "../observe/checks.ts";

/** How this program starts itself: the executable alone, or Bun with the source. */
export function selfCommand(): readonly string[] {
  const embedded = Bun.main.startsWith("/$bunfs/");
  return embedded ? [process.execPath] : [process.execPath, Bun.main];
}

export type Ended = { readonly code: number; readonly signal: string | number | null };

export type Child = {
  readonly ended: Promise<Ended>;
  /** The last lines of its stderr. */
  readonly log: readonly string[];
  kill(signal: "SIGTERM" | "SIGKILL"): void;
};

const logLinesMax = 50;

async function eachLine(
  stream: ReadableStream<Uint8Array>,
  take: (line: string) => void,
): Promise<void> {
  const lines = new Lines();
  for await (const bytes of stream) for (const line of lines.push(bytes)) take(line);
  for (const line of lines.end()) take(line);
}

/** Ends are reported after the last line was. */
export function startChild(
  command: readonly string[],
  onLine: (line: string) => void,
  env: Readonly<Record<string, string | undefined>> = process.env,
): Child {
  const log: string[] = [];
  const child = Bun.spawn([...command], { env, stdin: "ignore", stdout: "pipe", stderr: "pipe" });
  const read = Promise.all([
    eachLine(child.stdout, onLine),
    eachLine(child.stderr, (line) => {
      log.push(line);
      if (log.length > logLinesMax) log.shift();
    }),
  ]);
  const ended = Promise.all([child.exited, read]).then(([code]): Ended => ({
    code,
    signal: child.signalCode,
  }));
  return {
    ended,
    log,
    kill: (signal) => {
      if (child.exitCode === null && child.signalCode === null) child.kill(signal);
    },
  };
}

/** Resolves to undefined when the time is over first. */
export async function within<T>(promise: Promise<T>, ms: number): Promise<T | undefined> {
  const { promise: late, resolve } = Promise.withResolvers<undefined>();
  const timer = setTimeout(() => resolve(undefined), ms);
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

const politeMs = 5000;

/** Asks all to stop, then makes them; returns when every one is reaped. */
export async function stopAll(children: readonly Child[]): Promise<void> {
  for (const child of children) child.kill("SIGTERM");
  const all = Promise.all(children.map((child) => child.ended));
  if ((await within(all, politeMs)) !== undefined) return;
  for (const child of children) child.kill("SIGKILL");
  await all;
}
