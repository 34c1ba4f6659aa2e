/**
 * @module One emulated host: a QEMU process with nested SVM, its log on one serial port, the second
 * console (the guest's, through giantvm) on a virtio port, and a shell on the third. QEMU drops
 * what the sockets of these do not take at once, so they are of TCP on loopback, which has room for
 * it all: a Unix socket is full after 4 KB in pieces of 16 bytes.
 *
 * The emulation itself fails now and then, so a host can end in three ways: its command ended and
 * said how ("LAB-EXIT"), it died (QEMU gone, a triple fault, a kernel oops), or it was stopped.
 */

import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Socket } from "bun";
import type { Packages } from "./packages.ts";
import type { BadNetwork } from "./scenarios.ts";
import { HostShell } from "./shell.ts";
import { Transcript } from "./transcript.ts";

export type HostOptions = {
  readonly packages: Packages;
  readonly archive: string;
  /** Folder for sockets and logs of this run; short, as socket paths end at 107 bytes. */
  readonly folder: string;
  readonly node: number;
  readonly nodes: number;
  readonly cpus: number;
  readonly memoryMb: number;
  readonly tscKhz: number;
  readonly mtu: number;
  readonly badNetwork: BadNetwork | undefined;
  /** Shell text run on the second console. */
  readonly command: string;
  readonly onLog?: (text: string) => void;
  readonly onConsole?: (text: string) => void;
  /** The console once more, with what a terminal needs and a transcript does not. */
  readonly onBytes?: (bytes: Uint8Array) => void;
};

/**
 * What costs an emulation time and is not what the lab is for is left out: five levels of page
 * tables (its TLB is empty after each exit of a guest), checks of supervisor accesses, and
 * `rep stosb`, which it takes byte by byte: a kernel not told of ERMS clears pages by words. And
 * what it does wrong: QEMU 7.2 leaves garbage for flags, the direction flag among them, behind
 * CMPXCHG16B (docs/lab.md).
 */
const processor = "max,+svm,+npt,-cx16,-la57,-smap,-smep,-umip,-pku,-erms";

/** Signs of a fault of the emulation: the project's own failures end in LAB-EXIT. */
const oops = /Kernel panic|Oops:|BUG: |corrupted stack|general protection fault|LAB-FAILED .*/;

export function hostAddress(node: number): string {
  return `10.99.0.${node + 1}`;
}

function macPart(node: number): string {
  return (node + 1).toString(16).padStart(2, "0");
}

/** The other hosts; the first is at the other end of this one's eth0, and so on. */
function peersOf({ node, nodes }: Pick<HostOptions, "node" | "nodes">): readonly number[] {
  return Array.from({ length: nodes }, (_, peer) => peer).filter((peer) => peer !== node);
}

/**
 * QEMU's words for a link to each other host, by a pair of datagram sockets. A multicast group
 * would hand each frame to all of them, and lose some where QEMU does not read in time.
 */
export function links(
  options: Pick<HostOptions, "folder" | "node" | "nodes" | "mtu">,
): readonly string[] {
  const { folder, node, mtu } = options;
  const end = (from: number, to: number) => join(folder, `net${from}-${to}`);
  return peersOf(options).flatMap((peer) => {
    const joined =
      `dgram,id=net${peer},local.type=unix,local.path=${end(node, peer)},` +
      `remote.type=unix,remote.path=${end(peer, node)}`;
    const mac = `52:54:00:99:${macPart(peer)}:${macPart(node)}`;
    // A notification that goes to QEMU's main loop by an eventfd costs a wake more.
    const fixed = `virtio-net-pci,netdev=net${peer},romfile=,ioeventfd=off`;
    const device = `${fixed},mac=${mac},host_mtu=${mtu}`;
    return ["-netdev", joined, "-device", device];
  });
}

function base64(text: string): string {
  return Buffer.from(text).toString("base64");
}

function commandLine(options: HostOptions): string {
  const words = [
    "console=ttyS0 panic=-1 quiet loglevel=3 mitigations=off",
    `tsc_early_khz=${options.tscKhz} clocksource=tsc tsc=reliable hpet=disable pmtmr=0`,
    `lab.run=${base64(options.command)}`,
  ];
  const peers = peersOf(options).map(hostAddress).join(",");
  if (peers !== "") {
    words.push(
      `lab.address=${hostAddress(options.node)} lab.peers=${peers} lab.mtu=${options.mtu}`,
    );
  }
  const bad = options.badNetwork;
  if (bad !== undefined) words.push(`lab.netem=${base64(bad.netem)} lab.cut=${bad.cutMs * 1000}`);
  return words.join(" ");
}

export class Host {
  readonly log: Transcript;
  readonly console: Transcript;
  readonly shell: HostShell;
  readonly exited: Promise<void>;
  readonly #options: HostOptions;
  readonly #process: Bun.Subprocess<"ignore", "pipe", "pipe">;
  readonly #listener: Bun.TCPSocketListener<undefined>;
  #socket: Socket<undefined> | undefined;
  #stopped = false;

  constructor(options: HostOptions) {
    this.#options = options;
    this.log = new Transcript(options.onLog);
    this.console = new Transcript(options.onConsole);
    this.shell = new HostShell();
    this.#listener = Bun.listen({
      hostname: "127.0.0.1",
      port: 0,
      socket: {
        open: (socket) => {
          this.#socket = socket;
        },
        data: (_socket, bytes) => {
          this.console.push(bytes);
          options.onBytes?.(bytes);
        },
        error: () => {},
      },
    });
    this.#process = Bun.spawn(this.#arguments(), {
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
    });
    this.exited = this.#follow();
  }

  /** Types on the second console. */
  type(text: string | Uint8Array): void {
    this.#socket?.write(text);
  }

  /** Exit code of the host's command; undefined when the host died or was stopped before. */
  async result(): Promise<number | undefined> {
    const match = await this.log.wait(/^LAB-EXIT (\d+)\n/m);
    return match ? Number(match[1]) : undefined;
  }

  /** Why the host cannot be trusted any more, or undefined when it seems well. */
  fault(): string | undefined {
    const reset = join(this.#options.folder, `reset${this.#options.node}.log`);
    if (existsSync(reset) && readFileSync(reset, "utf8").includes("Triple fault")) {
      return "its processor met a triple fault";
    }
    const match = this.log.text.match(oops);
    if (match) return match[0];
    if (this.#process.exitCode === null || this.#stopped) return undefined;
    return /^LAB-EXIT /m.test(this.log.text) ? undefined : "its QEMU ended by itself";
  }

  /** Ends QEMU for certain: a hung one ignores SIGTERM. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#process.kill("SIGKILL");
    await this.exited;
  }

  async #follow(): Promise<void> {
    const read = async (stream: ReadableStream<Uint8Array>) => {
      for await (const chunk of stream) this.log.push(chunk);
    };
    await Promise.all([read(this.#process.stdout), read(this.#process.stderr)]);
    await this.#process.exited;
    this.#listener.stop(true);
    this.log.close();
    this.console.close();
    this.shell.close();
  }

  #arguments(): string[] {
    const options = this.#options;
    const reset = join(options.folder, `reset${options.node}.log`);
    const fixed =
      `-accel tcg -cpu ${processor} -smp ${options.cpus} -m ${options.memoryMb} ` +
      "-nodefaults -display none -no-reboot -serial stdio " +
      "-device virtio-serial-pci -device virtconsole,chardev=guest " +
      "-device virtconsole,chardev=shell";
    return [
      // Whatever happens to this process, SIGKILL as well, QEMU goes with it.
      options.packages.setpriv,
      "--pdeathsig",
      "KILL",
      options.packages.qemu,
      ...fixed.split(" "),
      "-kernel",
      options.packages.vmlinuz,
      "-initrd",
      options.archive,
      "-append",
      commandLine(options),
      "-d",
      "cpu_reset",
      "-D",
      reset,
      "-chardev",
      `socket,id=guest,host=127.0.0.1,port=${this.#listener.port},nodelay=on`,
      "-chardev",
      `socket,id=shell,host=127.0.0.1,port=${this.shell.port},nodelay=on`,
      ...links(options),
    ];
  }
}
