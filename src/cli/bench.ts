/**
 * @module `giantvm bench dsm`: the cost of page faults between two processes of this program,
 * against the bare network round trip of the same run and placement.
 */

import { readFileSync } from "node:fs";
import { count } from "../config/values.ts";
import { type BenchPorts, NativeBench } from "../native/bench.ts";
import { selfCommand } from "./children.ts";
import { exitCode, Failure, hostFailure } from "./failure.ts";
import type { Flags } from "./flags.ts";

const roundsDefault = 2000;
const roundsMax = 20_000;

export const benchRows = {
  udp_rtt_64_us: "UDP round trip, 64 -> 64 bytes",
  udp_rtt_us: "UDP round trip, 64 -> 4160 bytes",
  local_fault_us: "local fault, first touch at home",
  walk_local_us: "page of a walk of first touches",
  remote_read_us: "remote read fault, one page moves",
  walk_read_us: "page of a walk that reads",
  walk_write_us: "page of a walk that writes",
  remote_write_us: "remote write fault, one page moves",
  upgrade_us: "upgrade, read copy -> writable",
  ping_pong_us: "ping-pong, one turn of one page",
} as const;

type Row = {
  readonly p50: number;
  readonly p99: number;
  readonly p999: number;
  readonly count: number;
  readonly histogram: readonly number[];
};
type Rows = Record<keyof typeof benchRows, Row>;

/** CPUs the kernel lets a process's first thread, and so all that it starts later, run on. */
function cpusOf(pid: number): string {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  return /^Cpus_allowed_list:\s*(\S+)$/m.exec(status)?.[1] ?? "unknown";
}

/** Where the nodes really ran: pinning can be refused, and there may be one CPU only. */
export function placementText(first: string, second: string): string {
  const pinned = [first, second].every((cpus) => /^\d+$/.test(cpus));
  const places = pinned
    ? first === second
      ? `both nodes share CPU ${first}`
      : `node 0 on CPU ${first}, node 1 on CPU ${second}`
    : `not pinned: node 0 on CPUs ${first}, node 1 on CPUs ${second}`;
  return `${places}, all waits blocking`;
}

function readPorts(text: string): BenchPorts {
  const [data, command] = text.trim().split(" ").map(Number);
  if (!data || !command) throw new Failure(exitCode.internal, `bench: "${text}" are no ports`);
  return { data, command };
}

function open(node: 0 | 1): NativeBench {
  return new NativeBench(node);
}

/** Node 1: says its ports, is told node 0's, serves until node 0 closes its input or it fails. */
export async function benchPeer(): Promise<number> {
  const bench = open(1);
  process.stdout.write(`${bench.ports.data} ${bench.ports.command}\n`);
  const lines = console[Symbol.asyncIterator]();
  const first = await lines.next();
  bench.start(readPorts(String(first.value)), roundsMax);
  // Node 0 still asks the kernel where this process ran when both have measured.
  const failed = bench.result().then((text) => (text === "" ? lines.next() : undefined));
  await Promise.race([failed, lines.next()]);
  return exitCode.done;
}

async function firstLine(stream: ReadableStream<Uint8Array>): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  for await (const chunk of stream) {
    text += decoder.decode(chunk, { stream: true });
    if (text.includes("\n")) break;
  }
  return text;
}

/**
 * Why there is no result. Node 0's thread then waits for a page or an answer that never comes, and
 * only the end of this process frees it.
 * @param said what node 1 has left on stderr.
 */
export function peerFailure(
  code: number | null,
  signal: string | number | null,
  said: string,
): Failure {
  const how = signal === null ? `ended with exit code ${code}` : `was ended by ${signal}`;
  const words = said.trim() === "" ? "" : `: ${said.trim()}`;
  return new Failure(code || exitCode.lost, `bench: node 1 ${how} before all was measured${words}`);
}

type Measured = { readonly rows: Rows; readonly placement: string };

async function measure(rounds: number): Promise<Measured> {
  const child = Bun.spawn([...selfCommand(), "bench-peer"], {
    stdin: "pipe",
    stdout: "pipe",
    stderr: "pipe",
  });
  const said = new Response(child.stderr).text();
  const early = child.exited.then(async () => {
    throw peerFailure(child.exitCode, child.signalCode, await said);
  });
  // After the result it ends as it should.
  early.catch(() => {});
  try {
    const bench = open(0);
    const line = await firstLine(child.stdout);
    const peer = line === "" ? await early : readPorts(line);
    try {
      child.stdin.write(`${bench.ports.data} ${bench.ports.command}\n`);
      await child.stdin.flush();
    } catch {
      // EPIPE: it has just ended.
      await early;
    }
    bench.start(peer, rounds);
    const parsed: unknown = JSON.parse(await Promise.race([bench.result(), early]));
    if (typeof parsed === "object" && parsed !== null && "error" in parsed) {
      throw new Failure(exitCode.internal, `bench: ${String(parsed.error)}`);
    }
    const placement = placementText(cpusOf(process.pid), cpusOf(child.pid));
    return { rows: parsed as Rows, placement };
  } catch (error) {
    if (error instanceof Failure) throw error;
    const message = error instanceof Error ? error.message : String(error);
    const named = new Error(message.replace("gvm_bench_start", "gvm_configure"));
    throw hostFailure(named, "127.0.0.1");
  } finally {
    child.stdin.end();
    child.kill();
    await child.exited;
  }
}

function row(name: string, r: Row): string {
  const cells = [r.p50, r.p99, r.p999].map((value) => value.toFixed(1).padStart(10));
  return `${name.padEnd(38)}${cells.join("")}`;
}

function histogramText(name: string, r: Row): string {
  const last = r.histogram.findLastIndex((value) => value > 0);
  const cells = r.histogram
    .slice(0, last + 1)
    .flatMap((value, k) => (value > 0 ? [`<${2 ** k}us:${value}`] : []));
  return `  ${name}: ${cells.join(" ")}`;
}

export async function bench(what: string | undefined, flags: Flags): Promise<number> {
  if (what !== "dsm") {
    throw new Failure(exitCode.usage, `bench ${what ?? ""}: give what to measure: dsm`);
  }
  const given = flags["rounds"];
  const rounds = given === undefined ? roundsDefault : count("--rounds", given, 10, roundsMax);
  const { rows, placement } = await measure(rounds);
  const ratio = (rows.remote_read_us.p50 - rows.local_fault_us.p50) / rows.udp_rtt_us.p50;
  const localRatio = rows.local_fault_us.p50 / rows.walk_local_us.p50;
  const readRatio = rows.remote_read_us.p50 / rows.walk_read_us.p50;
  const writeRatio = rows.remote_write_us.p50 / rows.walk_write_us.p50;
  if (flags["json"] === "true") {
    const ratios = { ratio, localRatio, readRatio, writeRatio };
    process.stdout.write(`${JSON.stringify({ placement, rounds, ...rows, ...ratios })}\n`);
    return exitCode.done;
  }
  const names = Object.entries(benchRows) as [keyof Rows, string][];
  const head = `${"us".padEnd(38)}${["p50", "p99", "p99.9"].map((h) => h.padStart(10)).join("")}`;
  process.stdout.write(
    `${[
      `placement: ${placement}; ${rounds} rounds`,
      head,
      ...names.map(([key, name]) => row(name, rows[key])),
      "",
      `(remote read - local fault) / round trip 64 -> 4160 = ${ratio.toFixed(2)}`,
      `local fault / page of a walk of first touches = ${localRatio.toFixed(2)}`,
      `remote read / page of a walk that reads = ${readRatio.toFixed(2)}`,
      `remote write / page of a walk that writes = ${writeRatio.toFixed(2)}`,
      "",
      "how many took less than (and more than half of):",
      ...names.map(([key]) => histogramText(key, rows[key])),
    ].join("\n")}\n`,
  );
  return exitCode.done;
}
