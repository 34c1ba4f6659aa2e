/**
 * @module `giantvm run`: one node of a virtual machine, from its options to its exit code.
 *
 * Long because all that a node is made of meets here.
 */

import { writeFileSync } from "node:fs";
import { diskText } from "../config/disks.ts";
import { type Named, readLarge } from "../config/files.ts";
import { peerLabel } from "../config/peers.ts";
import { checkImages, readRunConfig, type RunConfig } from "../config/run.ts";
import { takenMaxPages } from "../config/taken.ts";
import { scratchDevice, type SlowDevice } from "../devices/scratch.ts";
import { builtinImages } from "../machine/builtin.ts";
import { cpuidTable } from "../machine/cpuid.ts";
import { MachineError } from "../machine/errors.ts";
import { guestImages } from "../machine/guest.ts";
import type { GuestImages, Module } from "../machine/images.ts";
import { monotonicNs } from "../native/clock.ts";
import { openControl } from "../control/server.ts";
import { openDataPlane } from "../native/index.ts";
import { probeHost } from "../native/probe.ts";
import { findSelf, resolvePeers, type ResolvedPeer } from "../net/addresses.ts";
import { answerTo } from "../net/probe.ts";
import { type ControlSocket, nobody, openSocket } from "../net/socket.ts";
import { Daemon } from "../node/daemon.ts";
import type { Counters, NodePlan } from "../node/dataplane.ts";
import type { Log, Outcome } from "../node/options.ts";
import { deviceRoutes } from "../node/routes.ts";
import { sentence } from "../observe/doctor/finding.ts";
import { kvmObstacle } from "../observe/doctor/kvm.ts";
import { availableMib } from "../observe/doctor/machine.ts";
import { realHost } from "../observe/doctor/source.ts";
import { makeLog } from "../observe/log.ts";
import type { Agreement } from "../protocol/agreement.ts";
import type { Endpoint } from "../protocol/channel.ts";
import { type Hello, protocolVersion } from "../protocol/messages.ts";
import { closeDisks, diskPlans, type OpenDisk, openDisks } from "./disks.ts";
import { ConsoleWriter } from "./console.ts";
import { exitCode, Failure, failureOf, hostFailure } from "./failure.ts";
import { breakDown } from "./fault.ts";
import { guestWaitMs } from "./guest-wait.ts";
import { onSignals } from "./signals.ts";
import { keyHelp, openTerminal, type Terminal } from "./terminal.ts";
import { endUnexpectedBy } from "./unexpected.ts";
import { buildId } from "./version.ts";
import { kernelNeeds, refuseAtStart, warnAtStart } from "./warnings.ts";

/** How much longer the guest looks for the consequences where a test has switched a guard off. */
const huntGuardOff = 50;

function numbers(counters: Counters): Record<string, number> {
  return Object.fromEntries(Object.entries(counters).map(([name, value]) => [name, Number(value)]));
}

type ModuleFile = { readonly file: Named; readonly text: string };

async function readModule({ file, text }: ModuleFile): Promise<Module> {
  return { name: file.value, text, bytes: await readLarge(file) };
}

async function images(
  config: RunConfig,
  agreement: Agreement,
  hellos: readonly Hello[],
): Promise<GuestImages> {
  const nodes = hellos.map(({ cpus, ramPages }) => ({ cpus, ramPages }));
  const { tscKhz } = agreement;
  try {
    if (config.images === undefined) {
      return builtinImages({
        nodes,
        deviceNode: config.deviceNode,
        tscKhz,
        seedU64: agreement.vmIdU64,
        waitLimitMs: guestWaitMs(config),
        scalePercent: config.scalePercent,
        hunt: config.guardOff === "" ? 1 : huntGuardOff,
        append: config.append ?? "",
      });
    }
    const { kernel, initrd, modules } = config.images;
    return guestImages({
      kernel: { name: kernel.value, bytes: await readLarge(kernel) },
      initrd: initrd === undefined ? undefined : await readModule({ file: initrd, text: "" }),
      modules: await Promise.all(modules.map(readModule)),
      commandLine: config.commandLine,
      append: config.append,
      nodes,
      tscKhz,
      deviceNode: config.deviceNode,
    });
  } catch (error) {
    if (error instanceof MachineError) throw new Failure(exitCode.usage, error.message);
    throw error;
  }
}

function planOf(
  config: RunConfig,
  takenMax: number,
  disks: readonly OpenDisk[],
  devices: readonly SlowDevice[],
  node: number,
  peers: readonly ResolvedPeer[],
  agreement: Agreement,
  hellos: readonly Hello[],
): NodePlan {
  return {
    node,
    vmIdU64: agreement.vmIdU64,
    epoch: agreement.epoch,
    nodes: hellos.map((hello, index) => ({
      address: peers[index]?.address ?? "",
      dataPort: hello.dataPort,
      cpus: hello.cpus,
      ramPages: hello.ramPages,
    })),
    cpuid: agreement.cpuid,
    tscKhz: agreement.tscKhz,
    deviceNode: config.deviceNode,
    routes: deviceRoutes(
      config.deviceNode,
      devices.map((device) => device.place),
    ),
    silenceMs: config.silenceMs,
    spinUs: config.spinUs,
    takenMaxPages: takenMax,
    guardOff: config.guardOff,
    disks: diskPlans(disks),
  };
}

/** What must be the same on all nodes. */
function settingsOf(config: RunConfig): Hello["settings"] {
  return [
    ["silence", String(config.silenceMs)],
    ["device-node", String(config.deviceNode)],
    ["console-node", String(config.consoleNode)],
    ["scratch-node", String(config.scratchNode)],
    ["disk", diskText(config.disks)],
    ["guard-off", config.guardOff],
  ];
}

/** Opens this host's data plane, for one epoch. */
function opener(config: RunConfig, node: number, order: string, address: string, vmIdU64: bigint) {
  const settings = settingsOf(config);
  const kernel = kernelNeeds(config, node, host);
  return (epoch: number) => {
    try {
      const dataPlane = openDataPlane({ address });
      const hello: Hello = {
        kind: "hello",
        protocol: protocolVersion,
        build: buildId,
        epoch,
        order,
        cpus: config.cpus,
        ramPages: config.memoryBytes / 4096,
        dataPort: dataPlane.dataPort,
        vmIdU64,
        settings,
        facts: dataPlane.facts(),
        hide: config.hide,
        ...kernel,
      };
      return { dataPlane, hello };
    } catch (error) {
      // What the doctor would say is more than the errno of the call.
      const obstacle = kvmObstacle(host);
      if (obstacle !== undefined) throw new Failure(exitCode.host, sentence(obstacle));
      throw hostFailure(error, address);
    }
  };
}

const host = realHost(probeHost);

type Receive = (bytes: Uint8Array, from: Endpoint) => void;

/** Probes are answered at once, whatever the node is about. */
async function controlSocket(self: Endpoint, take: Receive, log: Log): Promise<ControlSocket> {
  const socket: ControlSocket = await openSocket(
    self,
    (bytes, from) => {
      const answer = answerTo(bytes, buildId);
      if (answer !== undefined) socket.send(answer, from);
      else take(bytes, from);
    },
    (to, errno) =>
      log.warn(
        `nothing can be sent from ${self.address} to ${to.address} (${errno}): ` +
          "check the routes of this host and --self",
      ),
  );
  return socket;
}

type Started = { readonly daemon: Daemon; readonly close: (clean: boolean) => void };

async function start(config: RunConfig, output: ConsoleWriter, log: Log): Promise<Started> {
  const peers = await resolvePeers(config.peers);
  const node = findSelf(peers, config.self);
  const self = peers[node];
  if (self === undefined) throw new Failure(exitCode.internal, "this node is none of the peers");
  if (node === 0) checkImages(config.images);
  refuseAtStart(config, host);
  const disks = node === config.deviceNode ? openDisks(config.disks) : [];
  let daemon: Daemon | undefined;
  const take: Receive = (bytes, from) => daemon?.receive(bytes, from);
  const socket = config.alone ? nobody : await controlSocket(self, take, log);
  const order = peers.map(({ address, port }) => peerLabel({ host: address, port })).join(",");
  warnAtStart(config, node, self, host, log);
  const takenMax = takenMaxPages(config.memoryBytes, config.cacheBytes, availableMib(host));
  const vmIdU64 = crypto.getRandomValues(new BigUint64Array(1))[0] ?? 1n;
  const devices = [scratchDevice(config.scratchNode, config.scratchDelayMs)];
  daemon = new Daemon({
    node,
    peers: peers.map((peer) => ({ ...peer, name: peerLabel(peer) })),
    build: buildId,
    silenceMs: config.silenceMs,
    joinMs: config.joinMs,
    deviceNode: config.deviceNode,
    consoleNode: config.consoleNode,
    devices,
    open: opener(config, node, order, self.address, vmIdU64),
    cpuidOf: (hellos) =>
      cpuidTable({
        hosts: hellos.map((hello) => hello.facts),
        nodes: hellos.map(({ cpus, ramPages }) => ({ cpus, ramPages })),
        hide: [...new Set(hellos.flatMap((hello) => hello.hide))],
      }),
    planOf: (agreement, hellos) =>
      planOf(config, takenMax, disks, devices, node, peers, agreement, hellos),
    images: (agreement, hellos) => images(config, agreement, hellos),
    explain: (error) => hostFailure(error, self.address, config.guardOff),
    nowNs: monotonicNs,
    send: (bytes, to) => socket.send(bytes, to),
    console: (bytes) => output.write(bytes),
    log,
  });
  return {
    daemon,
    close: (clean) => {
      socket.close();
      if (clean) closeDisks(disks, (text) => log.error(text));
    },
  };
}

/** The outcome is what the user came for: a report that cannot be written does not change it. */
function report(path: string | undefined, node: number, outcome: Outcome, log: Log): void {
  if (path === undefined) return;
  const { code, cause, reason } = outcome;
  const counters = numbers(outcome.counters);
  try {
    writeFileSync(path, `${JSON.stringify({ node, exit: code, cause, reason, counters })}\n`);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    log.error(`--report ${path}: not written: ${why}`);
  }
}

function statusText(daemon: Daemon): string {
  return `\n${JSON.stringify(numbers(daemon.counters()))}\n${daemon.registers()}\n`;
}

/** Ctrl-C, of a terminal that is raw. */
const interrupt = 0x03;

function openConsole(daemon: Daemon, consoleNode: number): Terminal {
  const terminal = openTerminal((action) => {
    switch (action.kind) {
      case "bytes":
        // While there is no guest yet to give the key to.
        if (process.stdin.isTTY && !daemon.ran && action.bytes.includes(interrupt)) {
          daemon.end(exitCode.interrupted, "stopped by Ctrl-C before the guest ran");
          return true;
        }
        return daemon.input(action.bytes);
      case "quit":
        daemon.end(exitCode.done, "ended from the console");
        break;
      case "power":
        daemon.powerButton();
        break;
      case "help":
        process.stderr.write(keyHelp);
        break;
      case "status":
        process.stderr.write(statusText(daemon).replaceAll("\n", "\r\n"));
        break;
      default:
        action satisfies never;
    }
    return true;
  }, daemon.node === consoleNode);
  daemon.onInputReady = terminal.resume;
  return terminal;
}

/**
 * Everything outside the guest that can end the VM; each ends it on all nodes.
 * @returns when a signal has come.
 */
function watch(daemon: Daemon): Promise<void> {
  const signal = Promise.withResolvers<void>();
  onSignals((code, name) => {
    daemon.end(code, `stopped by ${name}`);
    signal.resolve();
  });
  process.stdout.on("error", (error: Error & { readonly code?: string }) => {
    const gone = error.code === "EPIPE" || error.code === "EIO";
    daemon.end(
      gone ? exitCode.unread : exitCode.host,
      gone
        ? "nobody reads the console any more: standard output is closed"
        : `the console cannot be written to standard output (${error.code ?? error.message})`,
    );
  });
  endUnexpectedBy((failure) => daemon.end(failure.code, `node ${daemon.node}: ${failure.message}`));
  return signal.promise;
}

async function runNode(config: RunConfig, log: Log): Promise<number> {
  const output = new ConsoleWriter((bytes, done) => process.stdout.write(bytes, done));
  const { daemon, close } = await start(config, output, log);
  output.onReady = () => daemon.consoleReady();
  const control = openControl(config.control, daemon.questions);
  const signal = watch(daemon);
  // After the native library was loaded, which has seen the terminal as it was.
  const terminal = openConsole(daemon, config.consoleNode);
  breakDown(config.fault, () => Number(daemon.counters()["exits"] ?? 0));
  const outcome = await daemon.run();
  terminal.close();
  control?.close();
  close(outcome.clean);
  log.info(`counters ${JSON.stringify(numbers(outcome.counters))}`);
  report(config.report, daemon.node, outcome, log);
  const quiet = outcome.cause === "poweroff" || outcome.cause === "verdict";
  if (quiet || outcome.code === 0) log.info(outcome.reason);
  else log.error(outcome.reason);
  // The exit does not wait for standard output, and the guest's last words are the most wanted.
  const unread = await output.flush(outcome.cause === "signal" ? Promise.resolve() : signal);
  if (unread > 0) log.warn(`the console's last ${unread} bytes were not read`);
  return outcome.code;
}

/** Runs a node until the VM has ended; returns the exit code. */
export async function run(flags: Readonly<Record<string, string>>): Promise<number> {
  const config = readRunConfig(flags, process.env);
  const log = makeLog(config, (line) => process.stderr.write(`${line}\n`));
  try {
    return await runNode(config, log);
  } catch (error) {
    const failure = failureOf(error);
    log.error(failure.message);
    return failure.code;
  }
}
