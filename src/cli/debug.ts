/**
 * @module `giantvm debug` and `giantvm hot`: what a running VM is doing, asked over the control
 * socket of any of its nodes (docs/debugging.md).
 */

import { readFileSync } from "node:fs";
import { variableOf } from "../config/options.ts";
import { ControlClient } from "../control/client.ts";
import { pageBytes } from "../control/question.ts";
import type { HotView, PageView, VcpuView } from "../control/views.ts";
import { serveGdb } from "../debug/gdb.ts";
import { type Asked, type Failed, Guest, inKernel, kernelView, pagingOf } from "../debug/guest.ts";
import { findKernel, type Kernel } from "../debug/kernel.ts";
import { readVirtual, tablePages } from "../debug/paging.ts";
import { backtrace } from "../debug/stack.ts";
import { readSymbols, SymbolError, type Symbols } from "../debug/symbols.ts";
import {
  dumpLines,
  frameLines,
  hotLines,
  mergeHot,
  pageLines,
  registerLines,
} from "../debug/text.ts";
import {
  type DebugArguments,
  parseAddress,
  parseCount,
  parseDebug,
  type Verb,
} from "./debug-options.ts";
import { exitCode, Failure } from "./failure.ts";
import type { Arguments } from "./flags.ts";

/** Pages of tables read at most for one address space. */
const tablesMax = 4096;
const memoryMax = 1 << 20;

type Context = {
  readonly print: (lines: readonly string[]) => void;
  readonly guest: Guest;
  readonly control: ControlClient;
  readonly arguments: DebugArguments;
};

/** Nodes that did not answer are told, and make the exit code one of unreachable peers. */
function settle(failed: readonly Failed[]): number {
  for (const { name, error } of failed) process.stderr.write(`giantvm: ${name}: ${error}\n`);
  return failed.length === 0 ? exitCode.done : exitCode.peers;
}

function symbolsOf(path: string | undefined): Symbols | undefined {
  if (path === undefined) return undefined;
  try {
    return readSymbols(readFileSync(path));
  } catch (error) {
    const code = error instanceof Error && "code" in error ? String(error.code) : undefined;
    if (code === undefined && !(error instanceof SymbolError)) throw error;
    const why = code === undefined ? (error as Error).message : `cannot be read (${code})`;
    throw new Failure(exitCode.usage, `--symbols ${path}: ${why}`);
  }
}

/** The kernel as a vCPU that runs it sees it. */
async function kernelOf(
  { guest, arguments: { symbols: path } }: Context,
  vcpus: readonly VcpuView[],
): Promise<Kernel | undefined> {
  const symbols = symbolsOf(path);
  const view = kernelView(vcpus);
  if (symbols === undefined || view === undefined) return undefined;
  return findKernel(
    pagingOf(view),
    (gpa, length) => guest.read(gpa, length),
    symbols,
    vcpus.length,
  );
}

function vcpuOf(words: readonly string[]): number | undefined {
  const [word] = words;
  return word === undefined ? undefined : parseCount("vCPU", word, 255);
}

async function registers(context: Context): Promise<number> {
  const { guest, print, arguments: given } = context;
  const { values, failed, all } = await guest.vcpus(vcpuOf(given.words));
  const kernel = await kernelOf(context, all);
  let node = -1;
  for (const each of values) {
    if (each.node !== node) print([`${each.name}:`]);
    ({ node } = each);
    print(registerLines(each.value, kernel?.symbols));
  }
  return settle(failed);
}

async function backtraces(context: Context): Promise<number> {
  const { guest, print, arguments: given } = context;
  if (given.symbols === undefined) {
    throw new Failure(
      exitCode.usage,
      "backtrace: give the guest kernel's symbols: --symbols System.map, vmlinux or a copy of " +
        "/proc/kallsyms",
    );
  }
  const { values, failed, all } = await guest.vcpus(vcpuOf(given.words));
  const kernel = await kernelOf(context, all);
  if (kernel === undefined) return settle(failed);
  for (const { value: view } of values) {
    const [heading = ""] = registerLines(view, undefined);
    print([heading]);
    // Which the heading says; nothing has set its stack.
    if (view.exitAgoMs === null) continue;
    const of = (name: string) => BigInt(view.general[name] ?? "0x0");
    const state = { rip: of("rip"), rsp: of("rsp"), rbp: of("rbp") };
    if (!inKernel(view)) {
      print([`    in user mode at ${view.general["rip"]}`]);
      continue;
    }
    const paging = pagingOf(view);
    const read = (address: bigint, length: number) =>
      readVirtual(paging, (gpa, bytes) => guest.read(gpa, bytes), address, length);
    print(frameLines(await backtrace(state, read, kernel.symbols), kernel.symbols));
  }
  return settle(failed);
}

async function page({ guest, print, arguments: { words } }: Context): Promise<number> {
  const gpaU64 = parseAddress("page", words[0]);
  const { values, failed } = await guest.ask<PageView>({ ask: "page", gpaU64 });
  const [first] = values;
  if (first !== undefined) {
    const { page: number, home } = first.value;
    print([`page ${number} at 0x${(gpaU64 & ~0xfffn).toString(16)}, home node ${home}`]);
  }
  for (const { name, value } of values) print([`${name}:`, ...pageLines(value)]);
  return settle(failed);
}

async function memory({ guest, print, arguments: { words } }: Context): Promise<number> {
  const start = parseAddress("memory", words[0]);
  const length = parseCount("memory LENGTH", words[1] ?? "256", memoryMax);
  for (let done = 0; done < length;) {
    const at = start + BigInt(done);
    const part = Math.min(length - done, pageBytes - Number(at % BigInt(pageBytes)));
    print(dumpLines(at, await guest.read(at, part)));
    done += part;
  }
  return exitCode.done;
}

async function counters({ guest, print }: Context): Promise<number> {
  const { values, failed } = await guest.ask<Record<string, number>>({ ask: "counters" });
  const names = Object.keys(values[0]?.value ?? {});
  print([`${"".padEnd(24)}${values.map(({ node }) => `node ${node}`.padStart(16)).join("")}`]);
  print(
    names.map((name) => {
      const row = values.map(({ value }) => String(value[name] ?? 0).padStart(16));
      return `${name.padEnd(24)}${row.join("")}`;
    }),
  );
  return settle(failed);
}

/** Every page that is a table of an address space in use now. */
async function tablesOf(guest: Guest, vcpus: readonly VcpuView[]) {
  const roots = new Map(vcpus.map((view) => [pagingOf(view).cr3, pagingOf(view)]));
  const tables = new Map<bigint, number>();
  for (const paging of roots.values()) {
    const found = await tablePages(paging, (gpa, length) => guest.read(gpa, length), tablesMax);
    for (const [gpa, level] of found) tables.set(gpa, level);
  }
  return tables;
}

async function hotPages(context: Context): Promise<number> {
  const { guest, print, arguments: given } = context;
  // Before anything is read: a read moves pages, too.
  const { values, failed }: Asked<HotView> = await guest.ask({ ask: "hot" });
  const hot = mergeHot(values.map(({ node, value }) => ({ node, hot: value })));
  const vcpus = await guest.vcpus();
  const kernel = await kernelOf(context, vcpus.all);
  const tables = await tablesOf(guest, vcpus.all);
  print(hotLines(hot, tables, (gpa) => kernel?.describe(gpa), given.top));
  return settle(failed);
}

const verbs: Readonly<Record<Verb, (context: Context) => Promise<number>>> = {
  registers,
  backtrace: backtraces,
  page,
  memory,
  counters,
  hot: hotPages,
  gdb: ({ control, arguments: given }) => serveGdb(control, given.listen),
};

/** Returns the exit code. Throws Failure. */
export async function debug(asked: Arguments): Promise<number> {
  const given = parseDebug(asked, process.env[variableOf("control")]);
  const control = await ControlClient.open(given.control);
  let text = "";
  const print = (lines: readonly string[]) => {
    text += lines.map((line) => `${line}\n`).join("");
  };
  try {
    return await verbs[given.verb]({ print, control, guest: new Guest(control), arguments: given });
  } finally {
    // Whole, before the process ends: a pipe takes long output in pieces.
    await new Promise<void>((done) => void process.stdout.write(text, () => done()));
    control.close();
  }
}
