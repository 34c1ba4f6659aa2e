/** @module Each thing that can be missing is found, named and has a cure. */

import { expect, test } from "bun:test";
import { examine, findingText } from "./index.ts";
import { answerTo } from "../../net/probe.ts";
import type { HostSource, Probe, SocketProbe } from "./source.ts";

const flags = "fpu tsc nx lm cx16 constant_tsc nonstop_tsc";
const fine: Readonly<Record<string, string>> = {
  "/proc/sys/kernel/osrelease": "6.12.9-amd64",
  "/proc/cpuinfo": `processor\t: 0\nmodel name\t: Test\nflags\t\t: ${flags}\n\nprocessor\t: 1`,
  "/proc/meminfo": "MemTotal: 9000000 kB\nMemAvailable:    8000000 kB",
  "/proc/sys/vm/max_map_count": "1048576",
  "/sys/kernel/mm/transparent_hugepage/shmem_enabled": "always within_size advise [never] deny",
  "/sys/class/net/eth0/mtu": "9000",
  "/proc/sys/net/core/rmem_max": "8388608",
  "/proc/sys/net/core/wmem_max": "8388608",
  "/sys/module/kvm_intel": "",
};
const probe: Probe = { kvmApiVersion: 12, userfault: "yes", userfaultFeatures: 0x1ffff };

const sockets: SocketProbe = { receiveBuffer: () => undefined, pathMtu: () => 1500 };

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
    sockets,
    interfaces: () => ["eth0"],
    ...more,
  };
}

async function levels(source: HostSource) {
  const findings = await examine(source, [], "b1");
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

test("socket buffers: the grant counts, else the limits of both directions", async () => {
  const small = { "/proc/sys/net/core/wmem_max": "212992" };
  const granting = (bytes: number) =>
    host(small, { sockets: { ...sockets, receiveBuffer: () => bytes } });
  expect(await levels(granting(8 << 20))).toEqual({});
  expect(await levels(granting(425_984))).toEqual({ "socket buffer": "warn" });
  const findings = await examine(host(small), [], "b1");
  const finding = findings.find((each) => each.level === "warn");
  expect(finding!.cure).toBe("sysctl -w net.core.wmem_max=4194304");
});

/** A peer that answers the probe, or nothing. */
const node = async (build: string | undefined) =>
  Bun.udpSocket({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      data: (socket, bytes, port, address) => {
        const answer = build === undefined ? undefined : answerTo(bytes, build);
        if (answer !== undefined) socket.send(answer, port, address);
      },
    },
  });

test("a peer answers, is of another build, refuses, is silent or has no address", async () => {
  const nodes = [await node("b1"), await node("b2"), await node(undefined), await node("b1")];
  const closed = nodes.pop()!;
  const peers = [...nodes, closed].map(({ port }) => ({ host: "127.0.0.1", port }));
  closed.close();
  peers.push({ host: "nowhere.invalid", port: 1 });
  const findings = await examine(host(), peers, "b1");
  for (const each of nodes) each.close();
  const told = findings.filter((finding) => finding.name.startsWith("peer"));
  expect(told.map(({ level }) => level)).toEqual(["ok", "warn", "warn", "ok", "fail"]);
  const found = [
    /this giantvm listens; packets of 1500 bytes$/,
    /build b2 listens, this one is b1/,
  ];
  found.push(/does not answer/, /no giantvm listens/, /has no address/);
  for (const [index, pattern] of found.entries()) expect(told[index]!.found).toMatch(pattern);
});
