/**
 * @module Network namespaces joined by the seeded relay: native/zig/relay_main.zig, docs/faults.md.
 *
 * Nothing has to be removed afterwards: the namespaces have no name and end with the processes in
 * them, those die with this process, and the relay ends with its input.
 */

import { existsSync } from "node:fs";
import type { Site } from "../dsm/processes.ts";
import { Log } from "../program.ts";
import { buildProgram } from "../zig.ts";

/** As native/zig/faults/direction.zig reads it; `nodes` is the caller's to say. */
export type NetworkOptions = Readonly<Record<string, string | number>>;

/** The faults every promise must survive. */
export const terrible: NetworkOptions = {
  loss: "5%",
  duplicate: "5%",
  reorder: "5%",
  rate: "20M",
  queue: "16k",
  cut: "200ms",
  every: "1s",
};

export type Totals = Readonly<Record<string, number>>;

/** Why there can be no such network here; undefined when there can. */
export function networkMissing(): string | undefined {
  if (!existsSync("/dev/net/tun")) return "no /dev/net/tun";
  for (const tool of ["unshare", "nsenter", "setpriv"]) {
    if (Bun.which(tool) === null) return `no ${tool} command (util-linux)`;
  }
  const tried = Bun.spawnSync(["unshare", "--net", "true"]);
  return tried.exitCode === 0 ? undefined : "network namespaces need root";
}

export class Network implements AsyncDisposable {
  readonly #relay: Bun.Subprocess<"pipe", "pipe", "inherit">;
  readonly #log = new Log();
  readonly #heard: Promise<void>;
  #namespaces: readonly string[] = [];

  private constructor(nodes: number, options: NetworkOptions) {
    const words = Object.entries({ nodes, ...options }).map(([name, value]) => `${name}=${value}`);
    this.#relay = Bun.spawn([buildProgram("relay"), ...words], {
      stdin: "pipe",
      stdout: "pipe",
      stderr: "inherit",
    });
    this.#heard = this.#log.read(this.#relay.stdout);
  }

  static async start(nodes: number, options: NetworkOptions): Promise<Network> {
    const network = new Network(nodes, options);
    await network.#log.contains("\n");
    const descriptors = /^ready ([\d ]+)\n/.exec(network.#log.text)![1]!.split(" ");
    const { pid } = network.#relay;
    network.#namespaces = descriptors.map((fd) => `/proc/${pid}/fd/${fd}`);
    return network;
  }

  get nodes(): number {
    return this.#namespaces.length;
  }

  /** In the namespace of a node; what is started there ends with this process. */
  site(node: number): Site {
    const namespace = this.#namespaces[node]!;
    return {
      prefix: ["setpriv", "--pdeathsig", "KILL", "nsenter", `--net=${namespace}`, "--"],
      address: `10.77.0.${node + 1}`,
    };
  }

  get sites(): readonly Site[] {
    return this.#namespaces.map((_, node) => this.site(node));
  }

  /** Closes (`cut`) or opens (`heal`) directions; resolves when it is done. */
  async command(verb: "cut" | "heal", directions: readonly (readonly [number, number])[]) {
    const lines = directions.map(([from, to]) => `${verb} ${from} ${to}\n`);
    const before = this.#log.text.length;
    this.#relay.stdin.write(lines.join(""));
    this.#relay.stdin.flush();
    await this.#log.contains(lines.join(""), before);
  }

  /** Every direction from and to a node. */
  around(node: number): readonly (readonly [number, number])[] {
    const others = this.#namespaces.map((_, other) => other).filter((other) => other !== node);
    return others.flatMap((other) => [[node, other] as const, [other, node] as const]);
  }

  /** Ends the relay: what it did to how many packets. */
  async end(): Promise<Totals> {
    this.#relay.stdin.end();
    await this.#heard;
    const code = await this.#relay.exited;
    const last = this.#log.text.trimEnd().split("\n").at(-1) ?? "";
    if (code !== 0 || !/^\d+ packets: /.test(last)) throw new Error(`relay ended with ${code}`);
    const counts = [...last.matchAll(/(\d+) (packets|[a-z]+ off|[a-z]+)/g)];
    return Object.fromEntries(counts.map(([, count, name]) => [name!, Number(count)]));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#relay.kill("SIGKILL");
    await this.#relay.exited;
  }
}
