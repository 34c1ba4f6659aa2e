/** @module Signals that end a VM, with the exit code a shell gives them: 128 and the number. */

import { readFileSync } from "node:fs";
import { exitCode } from "./failure.ts";

const endings = [
  ["SIGHUP", exitCode.hungUp],
  ["SIGINT", exitCode.interrupted],
  ["SIGQUIT", exitCode.quit],
  ["SIGTERM", exitCode.terminated],
] as const;

/** nohup starts a program with SIGHUP ignored, and means it. */
function hangUpIgnored(): boolean {
  const mask = /^SigIgn:\s*([0-9a-f]+)$/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1];
  return (BigInt(`0x${mask ?? "0"}`) & 1n) === 1n;
}

/** @returns what takes the handlers away again. */
export function onSignals(end: (code: number, name: NodeJS.Signals) => void): () => void {
  const installed = endings
    .filter(([name]) => name !== "SIGHUP" || !hangUpIgnored())
    .map(([name, code]) => {
      const handler = () => end(code, name);
      process.on(name, handler);
      return () => void process.off(name, handler);
    });
  return () => {
    for (const off of installed) off();
  };
}
