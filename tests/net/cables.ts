/**
 * @module Network namespaces joined by cables (veth), each end with an MTU of its own: a frame that
 * is larger than the MTU of the far end is dropped there without a word, as by a switch.
 *
 * A namespace ends with the process that holds it, that one with its input, and cables with either.
 */

/** Why there can be none here; undefined when there can. */
export function cablesMissing(): string | undefined {
  for (const tool of ["unshare", "nsenter", "ip"]) {
    if (Bun.which(tool) === null) return `no ${tool} command`;
  }
  const words = ["unshare", "--net", "ip", "link", "add", "v0", "type", "veth"];
  const tried = Bun.spawnSync(words);
  return tried.exitCode === 0 ? undefined : `no veth: ${tried.stderr.toString().trim()}`;
}

export class Namespace implements AsyncDisposable {
  readonly #holder: Bun.Subprocess<"pipe", "pipe", "inherit">;

  private constructor(holder: Bun.Subprocess<"pipe", "pipe", "inherit">) {
    this.#holder = holder;
  }

  static async open(): Promise<Namespace> {
    const words = ["unshare", "--net", "sh", "-ec", "ip link set lo up; echo ready; exec cat"];
    const holder = Bun.spawn(words, { stdin: "pipe", stdout: "pipe", stderr: "inherit" });
    const { done } = await holder.stdout.getReader().read();
    if (done) throw new Error("no namespace");
    return new Namespace(holder);
  }

  /** Words before a program that is to run in it. */
  get under(): readonly string[] {
    return ["nsenter", `--net=/proc/${this.#holder.pid}/ns/net`, "--"];
  }

  run(script: string): void {
    const done = Bun.spawnSync([...this.under, "sh", "-ec", script]);
    if (done.exitCode !== 0) throw new Error(`${script}: ${done.stderr.toString()}`);
  }

  /** A cable from here: `network`.1 at this end, `network`.2 at the other. */
  join(other: Namespace, network: string, mtu: { readonly here: number; readonly there: number }) {
    const [here, there] = [`${network}.1`, `${network}.2`];
    const device = `v${network.replaceAll(".", "")}`;
    const far = `peer name ${device} mtu ${mtu.there} netns ${other.#holder.pid}`;
    this.run(`ip link add ${device} mtu ${mtu.here} type veth ${far}`);
    this.run(`ip addr add ${here}/24 dev ${device}; ip link set ${device} up`);
    other.run(`ip addr add ${there}/24 dev ${device}; ip link set ${device} up`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#holder.stdin.end();
    await this.#holder.exited;
  }
}
