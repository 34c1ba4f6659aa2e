/** @module What `npm run lab` understands, and the sentence for what it does not. */

import { expect, test } from "bun:test";
import { join } from "node:path";
import { Failure } from "../../src/cli/failure.ts";
import { machineOf, readRequest } from "../../scripts/lab/options.ts";
import { questionsOf, type Scenario } from "../../scripts/lab/scenarios.ts";

const folder = import.meta.dir;

function scenarioOf(...args: readonly string[]): Scenario {
  const request = readRequest(args, folder);
  if (!("scenario" in request)) throw new Error(`${request.kind} plays nothing`);
  return request.scenario;
}

test("without a scenario a shell over two hosts, on the machine that is asked for", () => {
  expect(readRequest([], folder)).toMatchObject({ kind: "interactive", logs: false, runs: 1 });
  const usual = readRequest(["--hosts", "3"], folder, "pair");
  expect(usual).toMatchObject({ kind: "play", scenario: { name: "pair" } });
  expect(machineOf(scenarioOf())).toBe("2 hosts, vCPUs 1+1, cloud-6.12");
  const other = scenarioOf("--hosts", "3", "--cpus=2", "--kernel", "cloud-6.1", "--host-cpus", "2");
  expect(machineOf(other)).toBe("3 hosts, vCPUs 2+2+2, cloud-6.1");
  expect(other.hostCpus).toBe(2);
  expect(machineOf(scenarioOf("--cpus", "2,1"))).toBe("2 hosts, vCPUs 2+1, cloud-6.12");
  const old = scenarioOf("--host-kernel", "cloud-6.1");
  expect(old.hostKernel).toBe("cloud-6.1");
  expect(machineOf(old)).toBe("2 hosts of cloud-6.1, vCPUs 1+1, cloud-6.12");
  expect(machineOf(scenarioOf("--host-kernel", "cloud-6.12"))).toBe(machineOf(scenarioOf()));
});

test("a scenario on other hosts is asked what fits them", () => {
  const scenario = scenarioOf("pair", "--cpus", "1,2", "--reboots", "3", "--patience=4");
  expect(scenario).toMatchObject({ name: "pair", reboots: 3, patience: 4 });
  const [cpus, numa, tuned] = questionsOf(scenario);
  expect("3").toMatch(cpus!.answer);
  // Linux's own work is on the first host's one CPU; a kernel before 6.6 is not asked.
  expect("0\n0\nnever\n1").toMatch(tuned!.answer);
  expect("0\n0\nnever").toMatch(tuned!.answer);
  expect("0\n0\nnever\n7").not.toMatch(tuned!.answer);
  expect("0\n0\nmadvise\n1").not.toMatch(tuned!.answer);
  expect("0 126000 10 40\n1-2 127000 40 10").toMatch(numa!.answer);
  expect("0-1 126000 10 40\n2 127000 40 10").not.toMatch(numa!.answer);
  expect("0 126000 10 20\n1-2 127000 20 10").not.toMatch(numa!.answer);
  const cross = questionsOf(scenario).find(({ command }) => command.startsWith("cross"));
  expect(cross?.command).toStartWith("cross 0,1,2 ");
  const wide = questionsOf(scenarioOf("pair22")).map(({ command }) => command);
  expect(wide.find((command) => command.startsWith("cross"))).toStartWith("cross 0,2,1,3 ");
  const alone = questionsOf(scenarioOf("pair", "--hosts", "1")).map(({ command }) => command);
  expect(alone.some((command) => command.startsWith("cross"))).toBe(false);
});

test("--list and --help play nothing", () => {
  expect(readRequest(["--list"], folder)).toEqual({ kind: "list" });
  expect(readRequest(["pair", "-h"], folder)).toEqual({ kind: "help" });
});

test("what is not understood gets one sentence", () => {
  const refused: readonly (readonly [readonly string[], string])[] = [
    [["--host", "2"], "--host: no such option; see --help"],
    [["nothing"], '"nothing": no such scenario; --list names them'],
    [["pair", "trio"], 'two scenarios, "pair" and "trio": name one'],
    [
      ["disk", "--kernel", "generic-6.12"],
      "the module for a disk is that of cloud-6.12; leave --kernel out",
    ],
    [
      ["disk", "--host-kernel", "cloud-6.1"],
      "the guest's module for a disk is that of the hosts; leave --host-kernel out",
    ],
    [
      ["--host-kernel", "generic-6.12"],
      '--host-kernel "generic-6.12": give cloud-6.12 or cloud-6.1',
    ],
    [["--hosts"], "--hosts: give a value (N)"],
    [["--hosts", "2", "--hosts", "3"], "--hosts is given twice; give it once"],
    [["--hostCpus", "2"], "--hostCpus: no such option; write --host-cpus"],
    [["--hosts", "0"], '--hosts "0": give a whole number from 1 to 8'],
    [["--cpus", "2,"], '--cpus "": give a whole number from 1 to 64'],
    [["--hosts", "3", "--cpus", "1,2"], "--cpus 1,2 is for 2 hosts, --hosts says 3"],
    [["--cpus", "1,1,1,1,1,1,1,1,1"], "--cpus names more than 8 hosts"],
    [["netem", "--reboots", "1"], "--reboots is for a Linux guest, and netem has none"],
    [["netem-threads", "--cpus", "1"], "--cpus is for a guest, and netem-threads has none"],
    [["--runs", "2"], "--runs is for a scenario; --list names them"],
  ];
  for (const [args, sentence] of refused) {
    expect(() => readRequest(args, folder)).toThrow(new Failure(2, sentence));
  }
});

test("a kernel is one of Debian's by name, or a file that is one", () => {
  const here = join(folder, "options.test.ts");
  expect(() => scenarioOf("--kernel", "options.test.ts")).toThrow(
    `--kernel "options.test.ts": give cloud-6.12, generic-6.12, cloud-6.1 or a kernel; ` +
      `${here} is no kernel known here: give a Linux bzImage`,
  );
  expect(() => scenarioOf("--kernel", "missing")).toThrow(
    `${join(folder, "missing")} cannot be read (ENOENT)`,
  );
});
