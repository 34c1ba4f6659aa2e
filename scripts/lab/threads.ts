/**
 * @module Native threads on emulated hosts: the program of tests/dsm (native/zig/
 * engine_node_main.zig) on each host, its input and output being the second console, which no
 * netem touches. Hosts' clocks differ, so each is asked for its time over that console, before the
 * threads start and after they are through.
 */

import { checkApart, type Offset, offsetOf, type Round } from "../../tests/dsm/apart.ts";
import { handovers } from "../../tests/dsm/history.ts";
import { readHistory, readTotals, threads } from "../../tests/dsm/processes.ts";
import { type Host, hostAddress } from "./host.ts";
import { bootingOf } from "./pulse.ts";
import type { NativeThreads, Scenario } from "./scenarios.ts";

/** Of which the narrowest counts. */
const roundsEach = 50;
/** The threads give up so long before the watchdog, to say what they wait for. */
const marginSeconds = 30;

/** What runs on host `node`. */
export function threadsCommand(
  scenario: Scenario,
  { seed, operationsPerThread, pauseUs, guardOff = "" }: NativeThreads,
  node: number,
  silenceMs: number,
): string {
  const words = [
    `engine_node node=${node} nodes=${scenario.nodes.length} seed=${seed}`,
    `operations=${operationsPerThread} pause=${pauseUs}us here=${hostAddress(node)}`,
    `patience=${scenario.bootSeconds - marginSeconds}s silence=${silenceMs}ms guard=${guardOff}`,
    // The console's last words, so that nothing before them is missed.
    "&& echo ended",
  ];
  return words.join(" ");
}

/** How far the threads are. */
export function threadsLine(hosts: readonly Pick<Host, "log" | "console">[]): string {
  const booting = bootingOf(hosts.map((host) => host.log.text));
  if (booting !== undefined) return booting;
  const through = hosts.every((host) => host.console.text.includes("\ndone\n"));
  return through ? "the threads are through" : "the threads run";
}

function nowNs(): number {
  return Number(process.hrtime.bigint());
}

/** Undefined when the host is gone. */
async function ask(host: Host): Promise<Round | undefined> {
  const from = host.console.text.length;
  const before = nowNs();
  host.type("clock\n");
  const answer = await host.console.waitLine(/^clock (\d+)\n/m, from);
  const after = nowNs();
  return answer && { before, clock: Number(answer[1]), after };
}

/** Rounds of each host, one host after the other; undefined when one is gone. */
async function askAll(hosts: readonly Host[]): Promise<readonly (readonly Round[])[] | undefined> {
  const all: Round[][] = [];
  for (const host of hosts) {
    const rounds: Round[] = [];
    for (let i = 0; i < roundsEach; i += 1) {
      const round = await ask(host);
      if (round === undefined) return undefined;
      rounds.push(round);
    }
    all.push(rounds);
  }
  return all;
}

/** The same of each console; undefined when one ends without. */
async function eachSays(
  hosts: readonly Host[],
  pattern: RegExp,
): Promise<readonly string[] | undefined> {
  const found = await Promise.all(hosts.map((host) => host.console.waitLine(pattern)));
  const texts = found.flatMap((match) => (match ? [match[1] ?? ""] : []));
  return texts.length === hosts.length ? texts : undefined;
}

export type ThreadsFound = {
  /** What is wrong with what the threads saw. */
  readonly problems: readonly string[];
  /** How often a counter's page moved. */
  readonly handovers: number;
  /** How well the worst clock is known. */
  readonly uncertaintyNs: number;
};

/** Judges the consoles of all hosts. */
function judge(
  consoles: readonly string[],
  { operationsPerThread }: NativeThreads,
  earlier: readonly (readonly Round[])[],
  later: readonly (readonly Round[])[],
): ThreadsFound {
  const operations = consoles.flatMap((text, node) => readHistory(text, node));
  const offsets: readonly Offset[] = earlier.map((rounds, node) =>
    offsetOf(rounds, later[node] ?? []),
  );
  const wanted = consoles.length * threads * operationsPerThread;
  return {
    problems:
      operations.length === wanted
        ? checkApart(operations, offsets)
        : [`${operations.length} operations instead of ${wanted}`],
    handovers: handovers(operations),
    uncertaintyNs: Math.max(...offsets.map(({ least, most }) => most - least)),
  };
}

/** Awaits what hosts should print, or throws; see play.ts. */
type Within = <T>(
  seconds: number,
  failure: string,
  wanted: Promise<T>,
  last?: boolean,
) => Promise<NonNullable<T>>;

/** From the program's start on each host to its end. */
export async function playThreads(
  hosts: readonly Host[],
  { bootSeconds, answerSeconds }: Scenario,
  options: NativeThreads,
  within: Within,
): Promise<ThreadsFound> {
  const started = eachSays(hosts, /^address (\S+)\n/m);
  const addresses = await within(answerSeconds, "the program did not start", started);
  const mute = "a host did not tell its time";
  const earlier = await within(answerSeconds, mute, askAll(hosts));
  for (const host of hosts) host.type(`${addresses.join(" ")}\n`);
  const through = eachSays(hosts, /^done\n/m);
  await within(bootSeconds, "the threads did not get through", through);
  const later = await within(answerSeconds, mute, askAll(hosts));
  for (const host of hosts) host.type("\n");
  const ended = eachSays(hosts, /^ended\n/m);
  await within(answerSeconds, "the program did not end", ended, true);
  return judge(
    hosts.map((host) => host.console.text),
    options,
    earlier,
    later,
  );
}

/** The engine's counters, in giantvm's spelling; empty before the end. */
export function threadsCounters(text: string): Readonly<Record<string, number>> {
  const named = Object.entries(readTotals(text)).map(
    ([name, value]) =>
      [name.replaceAll(/_(\w)/g, (_, letter: string) => letter.toUpperCase()), value] as const,
  );
  return Object.fromEntries(named);
}
