/** @module UDP ports for nodes of one host that is both ends: `giantvm demo`, litmus, tests. */

import { exitCode, Failure } from "../cli/failure.ts";

/**
 * Below 32768, where Linux by default begins to give ports to whoever asks for any (ip-sysctl.rst,
 * ip_local_port_range), as every node does for its data: such a port cannot take one of these
 * between the moment it is seen to be free and its use.
 */
const lowest = 10_240;
/** So many of its own has each process, so that two at once do not find the same ones free. */
const perProcess = 64;
const blocks = 320;

let next = 0;

async function isFree(port: number): Promise<boolean> {
  try {
    (await Bun.udpSocket({ hostname: "127.0.0.1", port })).close();
    return true;
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "EADDRINUSE") return false;
    throw error;
  }
}

/** @returns so many UDP ports of 127.0.0.1 that nobody has, all different; code 3 without. */
export async function freePorts(count: number): Promise<readonly number[]> {
  const ports: number[] = [];
  for (let tried = 0; ports.length < count; tried += 1) {
    if (tried === blocks * perProcess) {
      throw new Failure(exitCode.host, `127.0.0.1 has no ${count} free UDP ports: end programs`);
    }
    const block = (process.pid + Math.floor(tried / perProcess)) % blocks;
    const port = lowest + block * perProcess + (next % perProcess);
    next += 1;
    if (await isFree(port)) ports.push(port);
  }
  return ports;
}
