/** @module Each thing that can be missing is found, named and has a cure. */

import { expect, test } from "bun:test";
import { examine, findingText } from "./index.ts";
import { splitPeer } from "./network.ts";
import type { HostSource, Probe } from "./source.ts";

const flags = "fpu tsc nx lm cx16 constant_tsc nonstop_tsc";
const fine: Readonly<Record<string, string>> = {
  "/proc/sys/kernel/osrelease": "6.12.9-amd64",
  "/proc/cpuinfo": `processor\t: 0\nmodel name\t: Test\nflags\t\t: ${flags}\n\nprocessor\t: 1`,
  "/proc/meminfo": "MemTotal: 9000000 kB\nMemAvailable:    8000000 kB",
  "/proc/sys/vm/max_map_count": "1048576",
  "/sys/kernel/mm/transparent_hugepage/shmem_enabled": "always within_size advise [never] deny",
  "/sys/class/net/eth0/mtu": "9000",
  "/proc/sys/net/core/rmem_max": "8388608",
  "/sys/module/kvm_intel": "",
};
const probe: Probe = { kvmApiVersion: 12, userfault: "yes", userfaultFeatures: 0x1ffff };

function host(
  changes: Readonly<Record<string, string | undefined>> = {},
  more: Partial<HostSource> = {},
): HostSource {
  const files: Readonly<Record<string, string | undefined>> = { ...fine, ...changes };
  return {
    text: (path) => files[path],
    exists: (path) => files[path] !== undefined,
    device: () => "yes",
    probe: () => probe,
    interfaces: () => ["eth0"],
    ...more,
  };
}

async function levels(source: HostSource) {
  const findings = await examine(source, [], 7777);
  for (const finding of findings) {
    expect(finding.cure === null).toBe(finding.level === "ok");
    expect(findingText(finding)).toContain(finding.name);
  }
  return Object.fromEntries(
    findings.filter((each) => each.level !== "ok").map((each) => [each.name, each.level]),
  );
}

test("a good host has no remarks", async () => {
  expect(await levels(host())).toEqual({});
});

test("a missing or forbidden /dev/kvm fails", async () => {
  expect(await levels(host({}, { device: () => "missing" }))).toEqual({ kvm: "fail" });
  expect(await levels(host({}, { device: () => "denied" }))).toEqual({ kvm: "fail" });
  const stranger = { probe: () => ({ ...probe, kvmApiVersion: 0 }) };
  expect(await levels(host({}, stranger))).toEqual({ kvm: "fail" });
});

test("old kernels fail or are told to be slower", async () => {
  const kernel = "/proc/sys/kernel/osrelease";
  expect(await levels(host({ [kernel]: "5.15.0-1-amd64" }))).toEqual({ kernel: "fail" });
  expect(await levels(host({ [kernel]: "6.1.0-28-amd64" }))).toEqual({ kernel: "warn" });
  expect(await levels(host({ [kernel]: "6.2.0" }))).toEqual({});
  expect(await levels(host({ [kernel]: "7.0-rc1" }))).toEqual({});
});

test("userfaultfd: denied, absent, too few features, library missing", async () => {
  const withProbe = (change: Partial<Probe>) =>
    host({}, { probe: () => ({ ...probe, ...change }) });
  expect(await levels(withProbe({ userfault: "denied" }))).toEqual({ userfaultfd: "fail" });
  expect(await levels(withProbe({ userfault: "missing" }))).toEqual({ userfaultfd: "fail" });
  expect(await levels(withProbe({ userfaultFeatures: 0xfff }))).toEqual({ userfaultfd: "fail" });
  expect(await levels(host({}, { probe: () => undefined }))).toEqual({ userfaultfd: "warn" });
});

test("what makes guests slow is said", async () => {
  const name = "kvm_intel.eptad";
  const eptad = { "/sys/module/kvm_intel/parameters/eptad": "Y" };
  expect(await levels(host(eptad))).toEqual({ [name]: "warn" });
  const ept = { "/sys/module/kvm_intel/parameters/ept": "N" };
  expect(await levels(host(ept))).toEqual({ "nested paging": "fail" });
  const pvm = { "/sys/module/kvm_pvm": "", "/sys/module/kvm_intel": undefined };
  expect(await levels(host(pvm))).toEqual({ guests: "warn" });
  const small = {
    "/proc/sys/net/core/rmem_max": "212992",
    "/proc/sys/vm/max_map_count": "1000",
    "/sys/class/net/eth0/mtu": "576",
    "/proc/meminfo": "MemAvailable: 1000 kB",
    "/sys/kernel/mm/transparent_hugepage/shmem_enabled": "always [force]",
  };
  expect(await levels(host(small))).toEqual({
    "socket buffer": "warn",
    max_map_count: "warn",
    "mtu of eth0": "warn",
    memory: "warn",
    "huge pages": "warn",
  });
});

test("an old or single processor is seen", async () => {
  const single = `processor\t: 0\nmodel name\t: Test\nflags\t\t: ${flags}`;
  expect(await levels(host({ "/proc/cpuinfo": single }))).toEqual({ processors: "warn" });
  const old = { "/proc/cpuinfo": single.replace("cx16", "") };
  expect(await levels(host(old))).toEqual({ processor: "fail" });
});

test("peers are split into host and port", () => {
  expect(splitPeer("10.0.0.1")).toEqual({ host: "10.0.0.1", port: null });
  expect(splitPeer("10.0.0.1:7000")).toEqual({ host: "10.0.0.1", port: 7000 });
  expect(splitPeer("[fe80::1]:7000")).toEqual({ host: "fe80::1", port: 7000 });
  expect(splitPeer("fe80::1")).toEqual({ host: "fe80::1", port: null });
});

test("a peer on this host can be heard, a name without address cannot", async () => {
  const findings = await examine(host(), ["127.0.0.1:9", "nowhere.invalid"], 7777);
  const peers = findings.filter((finding) => finding.name.startsWith("peer"));
  expect(peers.map((finding) => finding.level)).toEqual(["ok", "fail"]);
});
