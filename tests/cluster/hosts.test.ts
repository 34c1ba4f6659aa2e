/** @module Hosts without KVM or userfaultfd: exit code 3, one sentence with its cure. */

import { describe, expect, test } from "bun:test";
import { hostsMissing, type Lack, without } from "../hosts.ts";
import { ended, loopback, nodeWords } from "../nodes.ts";
import { kvmMissing, run, start } from "../program.ts";

const missing = kvmMissing() ?? hostsMissing();
if (missing !== undefined) console.warn(`SKIPPED: hosts that lack something: ${missing}`);

const lacks: readonly { readonly lack: Lack; readonly says: RegExp; readonly finding: string }[] = [
  { lack: "kvm", says: /no \/dev\/kvm.*modprobe kvm_amd/, finding: "kvm" },
  { lack: "kvm-permission", says: /may not open \/dev\/kvm.*run as root/, finding: "kvm" },
  { lack: "real-kvm", says: /\/dev\/kvm.*does not answer as KVM.*--device/, finding: "kvm" },
  {
    lack: "userfaultfd",
    says: /userfaultfd.*run as root.*\/dev\/userfaultfd/,
    finding: "userfaultfd",
  },
];

describe.skipIf(missing !== undefined)("a host without", () => {
  for (const { lack, says, finding } of lacks) {
    for (const verb of ["run", "demo", "bench dsm"]) {
      if (verb === "bench dsm" && lack !== "userfaultfd") continue;
      test(`${lack}: ${verb} says so and what to do`, async () => {
        const end = await run(verb.split(" "), { under: without(lack) });
        expect(end.stdout).toBe("");
        expect(end.stderr).toMatch(says);
        expect(end.stderr.trim().split("\n").length).toBe(1);
        expect({ code: end.code, signal: end.signal }).toEqual({ code: 3, signal: null });
      });
    }

    test(`${lack}: doctor finds it`, async () => {
      const { code, stdout, stderr } = await run(["doctor", "--json"], { under: without(lack) });
      const { ok, findings } = JSON.parse(stdout) as {
        ok: boolean;
        findings: { name: string; level: string; cure: string | null }[];
      };
      expect({ code, stderr, ok }).toEqual({ code: 3, stderr: "", ok: false });
      const failed = findings.filter((each) => each.level === "fail");
      expect(failed.map((each) => each.name)).toEqual([finding]);
      expect(failed[0]!.cure).not.toBeNull();
    });
  }

  test("userfaultfd on one of two nodes: both end with the same code and sentence", async () => {
    const peers = await loopback(2);
    const nodes = peers.map((self, node) =>
      start(nodeWords(peers, self), node === 1 ? { under: without("userfaultfd") } : {}),
    );
    for (const end of await ended(nodes)) {
      expect(end.stdout).toBe("");
      expect(end.stderr).toContain("userfaultfd may not handle kernel faults for this user");
      expect({ code: end.code, signal: end.signal }).toEqual({ code: 3, signal: null });
    }
  });
});

test.skipIf(kvmMissing() !== undefined)("doctor has nothing against this host", async () => {
  const { code, stdout, stderr } = await run(["doctor"]);
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  expect(stdout).toContain("This host can run giantvm");
});
