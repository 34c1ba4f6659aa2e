/** @module Each thing that can be missing is found, named and has a cure. */

import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { examine, findingText } from "./index.ts";
import type { HostSource, Probe, SocketProbe } from "./source.ts";

const flags = "fpu tsc nx lm constant_tsc nonstop_tsc";
const fine: Readonly<Record<string, string>> = {
  "/proc/sys/kernel/osrelease": "6.12.9-amd64",
  "/proc/cpuinfo": `processor\t: 0\nmodel name\t: Test\nflags\t\t: ${flags}\n\nprocessor\t: 1`,
  "/proc/meminfo": "MemTotal: 9000000 kB\nMemAvailable:    8000000 kB\nSwapTotal: 0 kB",
  "/proc/sys/vm/max_map_count": "1048576",
  "/sys/kernel/mm/transparent_hugepage/shmem_enabled": "always within_size advise [never] deny",
  "/sys/class/net/eth0/mtu": "9000",
  "/proc/sys/net/core/rmem_max": "8388608",
  "/proc/sys/net/core/wmem_max": "8388608",
  "/sys/module/kvm_intel": "",
  "/sys/module/kvm_intel/parameters/ept": "Y",
  "/sys/module/kvm_intel/parameters/unrestricted_guest": "Y",
  "/sys/module/kvm_intel/parameters/eptad": "N",
  "/sys/devices/system/clocksource/clocksource0/available_clocksource": "tsc hpet acpi_pm",
  "/proc/self/status": "Name:\tgiantvm\nCapEff:\t0000000000800000",
};
const probe: Probe = {
  kvmApiVersion: 12,
  userfault: "yes",
  userfaultFeatures: 0x1ffff,
  goesFirst: true,
};

const sockets: SocketProbe = { receiveBuffer: () => undefined, pathMtu: () => 1500 };

function host(
  changes: Readonly<Record<string, string | undefined>> = {},
  more: Partial<HostSource> = {},
): HostSource {
  const files: Readonly<Record<string, string | undefined>> = { ...fine, ...changes };
  return {
    text: (path) => files[path],
    link: (path) => files[path],
    exists: (path) => files[path] !== undefined,
    device: () => "yes",
    probe: () => probe,
    sockets,
    interfaces: () => ["eth0"],
    ...more,
  };
}

const none = { peers: [] };

async function levels(source: HostSource) {
  const findings = await examine(source, none, "b1");
  for (const finding of findings) {
    expect(finding.cure === null).toBe(finding.level === "ok");
    expect(findingText(finding)).toContain(finding.name);
  }
  return Object.fromEntries(
    findings.filter((each) => each.level !== "ok").map((each) => [each.name, each.level]),
  );
}

async function cureOf(wanted: string, source: HostSource) {
  return (await examine(source, none, "b1")).find(({ name }) => name === wanted)?.cure;
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
  expect(await levels(host({ [kernel]: "6.3.12" }))).toEqual({ kernel: "warn" });
  expect(await levels(host({ [kernel]: "6.4.0" }))).toEqual({});
  expect(await levels(host({ [kernel]: "7.0-rc1" }))).toEqual({});
});

test("userfaultfd: denied, absent, too few features, library missing", async () => {
  const withProbe = (change: Partial<Probe>) =>
    host({}, { probe: () => ({ ...probe, ...change }) });
  expect(await levels(withProbe({ userfault: "denied" }))).toEqual({ userfaultfd: "fail" });
  expect(await levels(withProbe({ userfault: "missing" }))).toEqual({ userfaultfd: "fail" });
  expect(await levels(withProbe({ userfaultFeatures: 0xfff }))).toEqual({ userfaultfd: "fail" });
  expect(await levels(withProbe({ userfaultFeatures: 0x1fff }))).toEqual({});
  expect(await levels(host({}, { probe: () => undefined }))).toEqual({ userfaultfd: "warn" });
});

async function memoryOf(files: Readonly<Record<string, string>>) {
  return (await examine(host(files), none, "b1")).find(({ name }) => name === "memory")?.found;
}

test("memory is what the host has, and what its control groups leave", async () => {
  expect(await memoryOf({})).toBe("7,812 MiB available");
  const groups = "/sys/fs/cgroup";
  const outer = { "/proc/self/cgroup": "0::/machine/vm", [`${groups}/machine/memory.max`]: "max" };
  expect(await memoryOf(outer)).toBe("7,812 MiB available");
  const own = {
    ...outer,
    [`${groups}/machine/vm/memory.max`]: String(3 * 2 ** 30),
    [`${groups}/machine/vm/memory.current`]: String(2 ** 30),
  };
  expect(await memoryOf(own)).toBe("2,048 MiB available");
  const stat = `anon 7\ninactive_file ${2 ** 28}\nactive_file ${2 ** 28}\nshmem 5`;
  const cached = { ...own, [`${groups}/machine/vm/memory.stat`]: stat };
  expect(await memoryOf(cached)).toBe("2,560 MiB available");
  const full = { "/sys/fs/cgroup/memory.max": "4096", "/sys/fs/cgroup/memory.current": "8192" };
  expect(await memoryOf(full)).toBe("0 MiB available");
});

test("what makes guests slow is said", async () => {
  const name = "kvm_intel.eptad";
  const eptad = { "/sys/module/kvm_intel/parameters/eptad": "Y" };
  expect(await levels(host(eptad))).toEqual({ [name]: "warn" });
  const pvm = { "/sys/module/kvm_pvm": "", "/sys/module/kvm_intel": undefined };
  expect(await levels(host(pvm))).toEqual({ guests: "warn" });
  const small = {
    "/proc/sys/net/core/rmem_max": "212992",
    "/proc/sys/vm/max_map_count": "1000",
    "/sys/class/net/eth0/mtu": "576",
    "/proc/meminfo": "MemAvailable: 1000 kB\nSwapTotal:       2000 kB",
  };
  expect(await levels(host(small))).toEqual({
    "socket buffer": "warn",
    max_map_count: "warn",
    "mtu of eth0": "warn",
    memory: "warn",
    swap: "warn",
  });
});

test("a module without what giantvm needs fails, and the cure names the module", async () => {
  const intel = "/sys/module/kvm_intel/parameters";
  expect(await levels(host({ [`${intel}/ept`]: "N" }))).toEqual({ "nested paging": "fail" });
  const real = { [`${intel}/unrestricted_guest`]: "N" };
  expect(await levels(host(real))).toEqual({ "real mode": "fail" });
  const npt = "/sys/module/kvm_amd/parameters/npt";
  const amd = { "/sys/module/kvm_amd": "", "/sys/module/kvm_intel": undefined };
  expect(await levels(host({ ...amd, [npt]: "Y" }))).toEqual({ "page walks": "warn" });
  const off = host({ ...amd, [npt]: "N" });
  expect(await levels(off)).toEqual({ "nested paging": "fail", "page walks": "warn" });
  const cures = (await examine(off, none, "b1")).flatMap(({ cure }) => cure ?? []);
  expect(cures[0]).toStartWith("modprobe -r kvm_amd && modprobe kvm_amd npt=1,");
  // A KVM that is part of the kernel cannot be loaded anew.
  expect(cures[0]).toContain("kvm_amd.npt=1 on the command line of this host's kernel");
  const eptad = host({ [`${intel}/eptad`]: "Y" });
  expect(await cureOf("kvm_intel.eptad", eptad)).toContain("kvm_intel.eptad=0 on the command line");
});

test("guest memory is in small pages whatever huge pages the host gives others", async () => {
  const shmem = "/sys/kernel/mm/transparent_hugepage/shmem_enabled";
  for (const [text, found] of [
    ["always within_size advise never deny [force]", "force"],
    [undefined, "not offered"],
  ] as const) {
    const findings = await examine(host({ [shmem]: text }), none, "b1");
    const finding = findings.find(({ name }) => name === "huge pages");
    expect(finding).toMatchObject({ level: "ok", found: `${found}; guest memory asks for none` });
  }
});

test("a clock the kernel gave up is seen", async () => {
  const offered = "/sys/devices/system/clocksource/clocksource0/available_clocksource";
  expect(await levels(host({ [offered]: "hpet acpi_pm" }))).toEqual({ clocksource: "warn" });
  expect(await levels(host({ [offered]: "tsc-early hpet" }))).toEqual({ clocksource: "warn" });
  expect(await levels(host({ [offered]: "kvm-clock tsc" }))).toEqual({});
});

function rtLimit(soft: number): string {
  return `Limit   Soft Limit  Hard Limit  Units\nMax realtime priority     ${soft}     ${soft}`;
}

async function schedulingCure(source: HostSource) {
  return cureOf("scheduling", source);
}

test("round robin for the engine is tried; who may not is told why", async () => {
  const status = "/proc/self/status";
  const plain = { [status]: "CapEff:\t000001ffff7fffff" };
  const refused = { probe: () => ({ ...probe, goesFirst: false }) };
  expect(await levels(host(plain))).toEqual({});
  for (const files of [
    plain,
    { [status]: undefined },
    { ...plain, "/proc/self/limits": rtLimit(0) },
  ]) {
    expect(await levels(host(files, refused))).toEqual({ scheduling: "warn" });
    expect(await schedulingCure(host(files, refused))).toContain("@kvm - rtprio 1");
  }
  const namespace = "/proc/self/ns/user";
  const rootless = { [namespace]: "user:[4026532187]" };
  expect(await schedulingCure(host(rootless, refused))).toContain("--ulimit rtprio=1");
  const initial = { [namespace]: "user:[4026531837]" };
  const limited = { "/proc/self/limits": rtLimit(1) };
  for (const files of [{}, initial, { ...plain, ...limited }, { ...rootless, ...limited }]) {
    expect(await levels(host(files, refused))).toEqual({ scheduling: "warn" });
    expect(await schedulingCure(host(files, refused))).toContain("cpu.rt_runtime_us");
    const unknown = await levels(host(files, { probe: () => undefined }));
    expect(unknown).toEqual({ userfaultfd: "warn" });
  }
  const unknown = await levels(host(plain, { probe: () => undefined }));
  expect(unknown).toEqual({ userfaultfd: "warn", scheduling: "warn" });
});

test("a processor held at its lowest frequency is seen", async () => {
  const folder = "/sys/devices/system/cpu/cpu0/cpufreq";
  const governed = (governor: string, driver: string) =>
    host({ [`${folder}/scaling_governor`]: governor, [`${folder}/scaling_driver`]: driver });
  expect(await levels(governed("powersave", "acpi-cpufreq"))).toEqual({ "cpu frequency": "warn" });
  expect(await levels(governed("powersave", "intel_pstate"))).toEqual({});
  expect(await levels(governed("schedutil", "acpi-cpufreq"))).toEqual({});
});

test("frames: how a page travels, and a link that is too narrow", async () => {
  const mtu = "/sys/class/net/eth0/mtu";
  for (const [text, found] of [
    ["9000", "9000: a page is one datagram"],
    ["1500", "1500: a page is several datagrams, one from 4300 on"],
  ] as const) {
    const findings = await examine(host({ [mtu]: text }), none, "b1");
    expect(findings.find(({ name }) => name === "mtu of eth0")).toMatchObject({ found });
  }
});

test("an old or single processor is seen", async () => {
  const single = `processor\t: 0\nmodel name\t: Test\nflags\t\t: ${flags}`;
  expect(await levels(host({ "/proc/cpuinfo": single }))).toEqual({ processors: "warn" });
  const old = { "/proc/cpuinfo": single.replace(" nx", "") };
  expect(await levels(host(old))).toEqual({ processor: "fail" });
});

test("socket buffers: the grant counts, else the limits of both directions", async () => {
  const small = { "/proc/sys/net/core/wmem_max": "212992" };
  const granting = (bytes: number) =>
    host(small, { sockets: { ...sockets, receiveBuffer: () => bytes } });
  expect(await levels(granting(8 << 20))).toEqual({});
  expect(await levels(granting(425_984))).toEqual({ "socket buffer": "warn" });
  const findings = await examine(host(small), none, "b1");
  const finding = findings.find((each) => each.level === "warn");
  expect(finding!.cure).toBe("sysctl -w net.core.wmem_max=8388608");
});

test("docs/host-setup.md has a place for every finding", async () => {
  const folder = "/sys/module/kvm_intel/parameters";
  const bad = Object.fromEntries(Object.keys(fine).map((path) => [path, "0"]));
  const named = await Promise.all(
    [
      host(),
      host({ ...bad, "/proc/cpuinfo": `processor\t: 0\nflags\t: ${flags.slice(0, 19)}` }),
      host({ "/proc/cpuinfo": `flags\t: ${flags} split_lock_detect` }),
      host({ [`${folder}/ept`]: "N", [`${folder}/unrestricted_guest`]: "N" }),
      host({ [`${folder}/eptad`]: "Y", "/sys/module/kvm_amd": "", "/sys/module/kvm_pvm": "" }),
      host({ "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "powersave" }),
    ].map((each) => examine(each, none, "b1")),
  );
  const peers = ["127.0.0.1", "127.0.0.1"].map((each) => ({ host: each, port: 1 }));
  named.push(await examine(host(), { peers }, "b1"));
  const names = new Set(named.flat().map(({ name }) => name.replace(/^(mtu|peer) .*/, "$1")));
  expect(names.size).toBe(24);
  const text = readFileSync(join(import.meta.dir, "../../../docs/host-setup.md"), "utf8");
  const places = [...text.matchAll(/\(([^()\n]+)\)(?:\.\*\*|, |$)/gm)];
  const told = new Set(places.flatMap(([, list = ""]) => list.split(", ")));
  expect([...names].filter((name) => !told.has(name))).toEqual([]);
});
