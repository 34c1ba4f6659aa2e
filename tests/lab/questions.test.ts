/** @module Questions to guests and hosts: their answers, and their commands in a shell of today. */

import { expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { hostCommand } from "../../scripts/lab/commands.ts";
import { readRequest } from "../../scripts/lab/options.ts";
import { onEachCpu } from "../../scripts/lab/scenarios/questions.ts";
import {
  type Question,
  questionsOf,
  type Scenario,
  scenarios,
} from "../../scripts/lab/scenarios.ts";

function scenarioOf(...words: readonly string[]): Scenario {
  const request = readRequest(words, import.meta.dir);
  if (!("scenario" in request)) throw new Error(`${request.kind} plays nothing`);
  return request.scenario;
}

/** The one question of a scenario whose command has that text. */
function asked(scenario: Scenario, text: string): Question {
  const found = questionsOf(scenario).filter(({ command }) => command.includes(text));
  if (found.length !== 1) throw new Error(`${found.length} questions have "${text}"`);
  return found[0]!;
}

/** What a command prints; `stubs` are functions of sh in place of programs. */
function shell(command: string, stubs = ""): string {
  return Bun.spawnSync(["sh", "-c", `${stubs}\n${command}`])
    .stdout.toString()
    .trim();
}

test("a CPU beyond the 31st has a mask, too", () => {
  const nodes = [{ cpus: 64, memory: "" }];
  const masks = shell(onEachCpu(nodes, "true;"), "taskset() { echo $1; }").split("\n");
  expect(masks.length).toBe(64);
  for (const [cpu, mask] of masks.entries()) expect(BigInt(`0x${mask}`)).toBe(1n << BigInt(cpu));
  const wide = ["--hosts", "1", "--cpus", "64"];
  for (const [name, text] of [
    ["disk", "sha256sum -c"],
    ["gdb", "uname -n"],
    ["pair-prints", "seq 1 "],
  ] as const) {
    expect(asked(scenarioOf(name, ...wide), text).command).toContain("taskset 8000000000000000 ");
  }
  const stress = scenarioOf("pair-stress", "--cpus", "40,1");
  expect(asked(stress, "memtester").command).toContain("taskset 10000000000 ");
});

test("a guest's terminal takes each question, however many CPUs there are", () => {
  for (const name of scenarios.keys()) {
    if (scenarios.get(name)?.guest !== "linux") continue;
    const questions = questionsOf(scenarioOf(name, "--hosts", "1", "--cpus", "64"));
    const long = questions.filter(
      ({ host, command }) => host === undefined && command.length > 4000,
    );
    expect(long).toEqual([]);
  }
});

test("every CPU runs a program, and each is told of", () => {
  const { command, answer } = asked(scenarioOf("pair22"), "done $i");
  const here = 'taskset() { shift; "$@"; }';
  expect(shell(command, here)).toMatch(answer);
  expect(shell(command, 'taskset() { [ $1 = 4 ] || { shift; "$@"; }; }')).not.toMatch(answer);
});

test("the guest's nodes are asked for again after a reboot", () => {
  const again = questionsOf(scenarioOf("pair-brief")).filter((question) => question.again);
  expect(again.map(({ meaning }) => meaning)).toContain("its NUMA nodes are the hosts");
});

test("the guest's date is the host's, though it is asked a little later", () => {
  const { command, answer } = asked(scenarioOf("single2"), "echo $(($(date +%s) -");
  expect(shell(command)).toMatch(answer);
  const off = (seconds: number) =>
    shell(command, `date() { echo $(($(command date +%s) + ${seconds})); }`);
  for (const seconds of [-50, 90]) expect(off(seconds)).toMatch(answer);
  for (const seconds of [-70, -3600, 3600]) expect(off(seconds)).not.toMatch(answer);
});

/** As giantvm prints them. */
const heading = (vcpu: number) => `vCPU ${vcpu}: halted; registers of 410.8 ms ago\n`;
const apic = (id: number, mode: string) =>
  `${heading(id)}  APIC id ${id} ${mode} enabled, TPR 10, IRR -, ISR -, timer vector ec off\n`;

test("all CPUs use their x2APIC", () => {
  const { command, answer, host } = asked(scenarioOf("single2"), "x2APIC");
  const seen = (mode: string) =>
    shell(command, `giantvm() { printf '%s' '${apic(0, "x2APIC")}${apic(1, mode)}'; }`);
  expect(host).toBe(0);
  expect(seen("x2APIC")).toMatch(answer);
  expect(seen("xAPIC")).not.toMatch(answer);
});

const hot = (names: readonly string[]) =>
  `transfers    writes  page         to node:times        what\n${names
    .map((name) => `     1067      1062  0x2c27000    0:533 1:534          ${name}\n`)
    .join("")}tables of the address spaces in use now: 24 of these pages`;

test("hot pages have the names of a kernel's page tables", () => {
  const { answer } = asked(scenarioOf("costs"), "giantvm hot");
  const tables = ["page table, level 3; level3_kernel_pgt", "page table, level 4; init_top_pgt"];
  expect(hot(tables)).toMatch(answer);
  expect(hot([...tables, "jiffies"].toReversed())).toMatch(answer);
  expect(hot([tables[0]!, "physical"])).not.toMatch(answer);
  expect(hot([tables[1]!, "physical"])).not.toMatch(answer);
});

test("a backtrace has a beginning that a kernel's stack has", () => {
  const { answer } = asked(scenarioOf("costs"), "backtrace");
  const idle = "    pv_native_safe_halt+0xf\n  ? do_idle+0x26b\n  ? cpu_startup_entry+0x29\n";
  const other = "  ? start_secondary+0x11e\n  ? common_startup_64+0x13e";
  const interrupted = "    native_write_msr+0x8\n  ? sysvec_apic_timer_interrupt+0x71";
  expect(`${heading(0)}${idle}${heading(1)}${idle}${other}`).toMatch(answer);
  expect(`${heading(0)}${idle}${heading(1)}${interrupted}`).toMatch(answer);
  expect(`${heading(0)}${idle}${other}`).not.toMatch(answer);
  expect(`${heading(1)}${other}\n${heading(2)}${idle}`).not.toMatch(answer);
  // Debian's generic kernel by the symbols of its cloud kernel.
  const wrong = "    __static_call_text_end+0x3ab07\n  ? idle_task+0x19\n  ? show_signal+0xad";
  expect(`${heading(0)}${idle}${heading(1)}${wrong}`).not.toMatch(answer);
});

test("one of the scenarios restarts by the keyboard controller", () => {
  const disk = scenarioOf("disk");
  expect(hostCommand(disk, 0)).toContain("--append 'reboot=k'");
  expect(disk.reboots).toBe(1);
  const { answer } = asked(disk, "/sys/kernel/reboot/type");
  expect("kbd").toMatch(answer);
  expect("acpi").not.toMatch(answer);
});

test("a guest across the hole below 4 GiB: its amounts, its map, files on both sides", () => {
  const scenario = scenarioOf("pair-4g");
  const amounts = asked(
    scenario,
    "MemTotal: *\\([0-9]*\\) kB/\\1/p' /sys/devices/system/node/node0",
  );
  const have = (first: number, second: number) =>
    shell(
      amounts.command,
      `sed() { case $3 in *node0*) echo ${first};; *) echo ${second}; esac; }`,
    );
  expect(have(1_860_000, 1_440_000)).toMatch(amounts.answer);
  expect(have(1_440_000, 1_860_000)).not.toMatch(amounts.answer);

  const map = asked(scenario, "/proc/iomem").answer;
  const low = "00001000-0009fbff : System RAM\n00100000-bfffffff : System RAM\n";
  expect(`${low}100000000-1147fffff : System RAM`).toMatch(map);
  expect(low).not.toMatch(map);
  expect(
    questionsOf(scenarioOf("pair-4g", "--hosts", "1")).some((each) => each.answer === map),
  ).toBe(false);

  const folder = mkdtempSync(join(tmpdir(), "gvmfake-"));
  try {
    const { command, answer } = asked(scenario, "mpol=bind:1");
    const there = (text: string) => text.replaceAll("/tmp/", `${folder}/`);
    const mounts = 'mount() { echo "$4 $6" >>/tmp/mounts; }; umount() { :; }';
    const seen = (stubs: string, shared = 2048) =>
      shell(there(command), there(`${mounts}; sed() { echo ${shared}; }; ${stubs}`)).replaceAll(
        folder,
        "/tmp",
      );
    const pinned = 'taskset() { echo $1 >>/tmp/cpus; shift; "$@"; }';
    expect(seen(pinned)).toMatch(answer);
    expect(shell(there("tr '\\n' ' ' </tmp/cpus; cat /tmp/mounts"))).toBe(
      `2 2 1 1 1 2 mpol=bind:0 ${folder}/node0\nmpol=bind:1 ${folder}/node1`,
    );
    expect(seen(pinned, 512)).not.toMatch(answer);
    // What the reader finds is not what was written.
    const stale = 'taskset() { shift; "$@"; [ $1 = dd ] || echo more >>/tmp/node1/noise; }';
    expect(seen(stale)).not.toMatch(answer);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("whether there are no huge pages is read from the kernel's choice", () => {
  const { command, answer } = asked(scenarioOf("pair"), "numa_balancing");
  const seen = (choice: string) =>
    shell(
      command,
      "cat() { echo 0; echo 0; }; uname() { echo 6.1.0; }; " +
        `sed() { echo '${choice}' | command sed "$1"; }`,
    );
  expect(seen("always madvise [never]")).toMatch(answer);
  expect(seen("always [madvise] never")).not.toMatch(answer);
  expect(seen("[always] madvise never")).not.toMatch(answer);
});
