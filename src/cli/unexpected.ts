/**
 * @module What nobody caught, in a timer or a socket's callback: a sentence and exit code 7 as for
 * every other failure, and where a VM runs, its end on all nodes first.
 */

import { exitCode, type Failure, failureOf } from "./failure.ts";

/** The other nodes are told within this time, or learn it from the closed port. */
const tellMs = 5000;

type Ending = (failure: Failure) => void;

let ending: Ending | undefined;

/** From now on an unexpected error ends the VM by this; undefined: it ends the process at once. */
export function endUnexpectedBy(next: Ending | undefined): void {
  ending = next;
}

/** @param say prints the sentence. */
export function catchUnexpected(say: (failure: Failure) => void): void {
  let last: Failure | undefined;
  const leave = (failure: Failure): never => {
    say(failure);
    return process.exit(exitCode.internal);
  };
  const handle = (error: unknown): void => {
    const failure = failureOf(error);
    if (ending === undefined) return leave(failure);
    // One broken thing throws again and again; the first says most.
    if (last !== undefined) return;
    last = failure;
    setTimeout(() => leave(failure), tellMs);
    try {
      ending(failure);
    } catch {
      leave(failure);
    }
  };
  process.on("uncaughtException", handle);
  process.on("unhandledRejection", handle);
}
