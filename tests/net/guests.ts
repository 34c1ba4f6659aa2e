/** @module The built-in guest over the nodes of a test network: `giantvm run` in each namespace. */

import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { type Finished, type Started, start, temporaryFolder } from "../program.ts";
import type { Network } from "./network.ts";

export type NodeEnd = Finished & {
  /** Of the node's report; empty where it left none. */
  readonly counters: Readonly<Record<string, number>>;
};

export class Guests implements AsyncDisposable {
  readonly nodes: readonly Started[];
  readonly #folder = temporaryFolder();

  /** @param args further arguments of each node. */
  constructor(network: Network, args: readonly string[] = []) {
    const peers = network.sites.map((site) => site.address).join(",");
    this.nodes = network.sites.map(({ address, prefix }, node) => {
      const own = ["--self", address, "--report", this.#report(node)];
      const words = ["run", "-v", "--local-memory", "64M", "--peers", peers, ...own, ...args];
      return start(words, { under: prefix });
    });
  }

  /** Resolves when the VM runs on every node; rejects when one ends before. */
  async running(): Promise<void> {
    await Promise.all(this.nodes.map((node) => node.logged("the VM runs")));
  }

  /** How each node ended, once all have. */
  ends(): Promise<readonly NodeEnd[]> {
    return Promise.all(
      this.nodes.map(async (node, index) => {
        const end = await node.finished;
        const path = this.#report(index);
        const text = existsSync(path) ? readFileSync(path, "utf8") : "{}";
        const { counters = {} } = JSON.parse(text) as { counters?: Record<string, number> };
        return { ...end, counters };
      }),
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const node of this.nodes) node.process.kill("SIGKILL");
    await Promise.all(this.nodes.map((node) => node.process.exited));
    this.#folder[Symbol.dispose]();
  }

  #report(node: number): string {
    return join(this.#folder.path, `report${node}.json`);
  }
}

/** What is wrong with a run that should have passed; empty when nothing is. */
export function guestProblems(ends: readonly NodeEnd[]): readonly string[] {
  const problems = ends.flatMap(({ code, signal, stderr }, node) =>
    code === 0 && signal === null
      ? []
      : [`node ${node} ended with ${signal ?? code}: ${stderr.trimEnd().split("\n").at(-1)}`],
  );
  const stdout = ends[0]?.stdout ?? "";
  if (!stdout.includes("verdict pass\n")) {
    problems.push(`the guest did not pass: ${stdout.trimEnd().split("\n").at(-1)}`);
  }
  return problems;
}
