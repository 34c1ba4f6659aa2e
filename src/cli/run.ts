/** @module `giantvm run`: one node of a virtual machine, from its options to its exit code. */

import { readFileSync, writeFileSync } from "node:fs";
import { peerLabel } from "../config/peers.ts";
import { readRunConfig, type RunConfig } from "../config/run.ts";
import { scratchDevice, type SlowDevice } from "../devices/scratch.ts";
import { builtinImages } from "../machine/builtin.ts";
import { cpuidTable } from "../machine/cpuid.ts";
import { MachineError } from "../machine/errors.ts";
import { type GuestImages, linuxImages } from "../machine/images.ts";
import { openDataPlane } from "../native/index.ts";
import { findSelf, resolvePeers, type ResolvedPeer } from "../net/addresses.ts";
import { type ControlSocket, openSocket } from "../net/socket.ts";
import { Daemon, type Log, type Outcome } from "../node/daemon.ts";
import type { Counters, NodePlan } from "../node/dataplane.ts";
import { deviceRoutes } from "../node/routes.ts";
import { makeLog } from "../observe/log.ts";
import type { Agreement } from "../protocol/agreement.ts";
import { type Hello, protocolVersion } from "../protocol/messages.ts";
import { exitCode, Failure, hostFailure } from "./failure.ts";
import { keyHelp, openTerminal } from "./terminal.ts";
import { buildId } from "./version.ts";

const deviceNode = 0;
const consoleNode = 0;
/**
 * A vCPU of the built-in guest calls a check failed when another has not moved for so long; sooner
 * where a test has switched a guard off and waits for exactly that.
 */
const guestWaitMs = { usual: 10_000, guardOff: 3000 };

function numbers(counters: Counters): Record<string, number> {
  return Object.fromEntries(Object.entries(counters).map(([name, value]) => [name, Number(value)]));
}

function images(config: RunConfig, agreement: Agreement, hellos: readonly Hello[]): GuestImages {
  const nodes = hellos.map(({ cpus, ramPages }) => ({ cpus, ramPages }));
  const { tscKhz } = agreement;
  try {
    if (config.kernel === undefined) {
      return builtinImages({
        nodes,
        deviceNode,
        tscKhz,
        seedU64: agreement.vmIdU64,
        waitLimitMs: config.guardOff === "" ? guestWaitMs.usual : guestWaitMs.guardOff,
        scalePercent: config.scalePercent,
        append: config.append ?? "",
      });
    }
    return linuxImages({
      kernel: { name: config.kernel, bytes: new Uint8Array(readFileSync(config.kernel)) },
      initrd: config.initrd === undefined ? undefined : new Uint8Array(readFileSync(config.initrd)),
      append: config.append,
      nodes,
      tscKhz,
    });
  } catch (error) {
    if (error instanceof MachineError) throw new Failure(exitCode.usage, error.message);
    throw error;
  }
}

function planOf(
  config: RunConfig,
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
    deviceNode,
    routesVersion: 1,
    routes: deviceRoutes(
      deviceNode,
      devices.map((device) => device.place),
    ),
    silenceMs: config.silenceMs,
    spinUs: config.spinUs,
    guardOff: config.guardOff,
  };
}

/** Opens this host's data plane, for one epoch. */
function opener(config: RunConfig, order: string, address: string, vmIdU64: bigint) {
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
        silenceMs: config.silenceMs,
        facts: dataPlane.facts(),
        hide: config.hide,
      };
      return { dataPlane, hello };
    } catch (error) {
      throw hostFailure(error, address);
    }
  };
}

async function start(config: RunConfig, log: Log): Promise<{ daemon: Daemon; close: () => void }> {
  const peers = await resolvePeers(config.peers);
  const node = findSelf(peers, config.self);
  const self = peers[node];
  if (self === undefined) throw new Failure(exitCode.internal, "this node is none of the peers");
  let daemon: Daemon | undefined;
  const socket: ControlSocket = await openSocket(self.address, self.port, (bytes, port, address) =>
    daemon?.receive(bytes, port, address),
  );
  const order = peers.map((peer) => `${peer.address}:${peer.port}`).join(",");
  if (peers.length > 1) {
    log.warn(
      `node ${node} of ${peers.length} on ${self.address}:${self.port}; ` +
        "there is no authentication yet: keep this network to yourself",
    );
  }
  const vmIdU64 = crypto.getRandomValues(new BigUint64Array(1))[0] ?? 1n;
  const scratchNode = config.scratchNode;
  if (scratchNode >= peers.length)
    throw new Failure(exitCode.usage, "--scratch-node: no such node");
  const devices = [scratchDevice(scratchNode, config.scratchDelayMs)];
  daemon = new Daemon({
    node,
    peers: peers.map((peer) => ({ ...peer, name: peerLabel(peer) })),
    silenceMs: config.silenceMs,
    joinMs: config.joinMs,
    deviceNode,
    consoleNode,
    devices,
    open: opener(config, order, self.address, vmIdU64),
    cpuidOf: (hellos) =>
      cpuidTable({
        hosts: hellos.map((hello) => hello.facts),
        nodes: hellos.map(({ cpus, ramPages }) => ({ cpus, ramPages })),
        hide: [...new Set(hellos.flatMap((hello) => hello.hide))],
      }),
    planOf: (agreement, hellos) => planOf(config, devices, node, peers, agreement, hellos),
    images: (agreement, hellos) => images(config, agreement, hellos),
    send: (bytes, to) => socket.send(bytes, to.port, to.address),
    console: (bytes) => void process.stdout.write(bytes),
    log,
  });
  return { daemon, close: () => socket.close() };
}

function report(path: string | undefined, node: number, outcome: Outcome): void {
  if (path === undefined) return;
  const { code, cause, reason } = outcome;
  const counters = numbers(outcome.counters);
  writeFileSync(path, `${JSON.stringify({ node, exit: code, cause, reason, counters })}\n`);
}

/** Runs a node until the VM has ended; returns the exit code. */
export async function run(
  flags: Readonly<Record<string, string>>,
  logging: { readonly verbose: boolean; readonly json: boolean },
): Promise<number> {
  const config = readRunConfig(flags, process.env);
  const log = makeLog(logging, (line) => process.stderr.write(`${line}\n`));
  const { daemon, close } = await start(config, log);
  const onSignal = (code: number, name: string) => () => daemon.end(code, `stopped by ${name}`);
  process.on("SIGINT", onSignal(exitCode.interrupted, "SIGINT"));
  process.on("SIGTERM", onSignal(exitCode.terminated, "SIGTERM"));
  const terminal = openTerminal((action) => {
    switch (action.kind) {
      case "bytes":
        return daemon.input(action.bytes);
      case "quit":
        return daemon.end(exitCode.done, "ended from the console");
      case "power":
        return daemon.powerButton();
      case "help":
        return void process.stderr.write(keyHelp);
      case "status":
        return void process.stderr.write(`\r\n${JSON.stringify(daemon.counters())}\r\n`);
      default:
        return action satisfies never;
    }
  }, daemon.node === consoleNode);
  const outcome = await daemon.run();
  terminal.close();
  close();
  log.info(`counters ${JSON.stringify(numbers(outcome.counters))}`);
  report(config.report, daemon.node, outcome);
  const quiet = outcome.cause === "poweroff" || outcome.cause === "verdict";
  if (quiet || outcome.code === 0) log.info(outcome.reason);
  else process.stderr.write(`giantvm: ${outcome.reason}\n`);
  return outcome.code;
}
