/** @module Sizes, peers, the original's form, and which source of a value wins. */

import { expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parsePeers } from "./peers.ts";
import { readRunConfig } from "./run.ts";
import { count, size } from "./values.ts";

test("sizes are whole pages, plain numbers MiB", () => {
  expect(size("--x", "10G")).toBe(10 * 2 ** 30);
  expect(size("--x", "512M")).toBe(512 * 2 ** 20);
  expect(size("--x", "8KiB")).toBe(8192);
  expect(size("--x", "8kb")).toBe(8192);
  expect(size("--x", "8T")).toBe(2 ** 43);
  expect(size("--x", "64")).toBe(64 * 2 ** 20);
  for (const bad of ["", "0", "1K", "ten", "-1G", "1.5G", "8193G", "16T", "1P", "4096B", "10iB"]) {
    expect(() => size("--x", bad)).toThrow("--x");
  }
});

test("counts are whole and within bounds", () => {
  expect(count("--x", "007", 1, 255)).toBe(7);
  for (const bad of ["", "0", "256", "1e2", " ", "9999999999", "x"]) {
    expect(() => count("--x", bad, 1, 255)).toThrow("from 1 to 255");
  }
});

test("peers by name, IPv4 and IPv6, with and without port", () => {
  expect(parsePeers("a, b:8000 10.0.0.1,[fe80::1]:9000,[::1],fe80::2")).toEqual([
    { host: "a", port: 7777 },
    { host: "b", port: 8000 },
    { host: "10.0.0.1", port: 7777 },
    { host: "fe80::1", port: 9000 },
    { host: "::1", port: 7777 },
    { host: "fe80::2", port: 7777 },
  ]);
  for (const bad of ["", "a:0", "a:b", "[::1", "a:70000", "a,a"]) {
    expect(() => parsePeers(bad)).toThrow("--peers");
  }
});

test("without peers, whoever would have named them, a node is alone", () => {
  expect(readRunConfig({}, {}).alone).toBe(true);
  expect(readRunConfig({ peers: "127.0.0.1" }, {}).alone).toBe(false);
  expect(readRunConfig({}, { GIANTVM_PEERS: "a,b" }).alone).toBe(false);
  expect(readRunConfig({ "local-cpu": '1,start=0,iplist="a b"' }, {}).alone).toBe(false);
});

test("the original's form names peers and this node", () => {
  const config = readRunConfig({ "local-cpu": '16,start=16,iplist="10.0.0.1 10.0.0.2"' }, {});
  expect(config.cpus).toBe(16);
  expect(config.peers.map((peer) => peer.host)).toEqual(["10.0.0.1", "10.0.0.2"]);
  expect(config.self).toBe("10.0.0.2:7777");
});

const original = { "local-cpu": '16,start=16,iplist="10.0.0.1 10.0.0.2"' };

test("the original's form counts as --peers and --self of the source it is in", () => {
  const weaker = { GIANTVM_PEERS: "a,b,c", GIANTVM_SELF: "a" };
  const stronger = readRunConfig(original, weaker);
  expect(stronger.peers.map((peer) => peer.host)).toEqual(["10.0.0.1", "10.0.0.2"]);
  expect(stronger.self).toBe("10.0.0.2:7777");
  const variable = { GIANTVM_LOCAL_CPU: original["local-cpu"] };
  const beaten = readRunConfig({ peers: "a,b,c", self: "a" }, variable);
  expect([beaten.cpus, beaten.peers.length, beaten.self]).toEqual([16, 3, "a"]);
  // Another number of vCPUs leaves the rest as it is.
  const fewer = readRunConfig({ "local-cpu": "4" }, variable);
  expect([fewer.cpus, fewer.peers.length, fewer.self]).toEqual([4, 2, "10.0.0.2:7777"]);
  // A list of a stronger source leaves nothing of iplist and start.
  const others = readRunConfig({ peers: "10.0.0.5,10.0.0.6" }, variable);
  expect([others.cpus, others.peers.length, others.self]).toEqual([16, 2, undefined]);
  const own = { ...variable, GIANTVM_PEERS: "c,d,e" };
  expect(readRunConfig({ "local-cpu": "4" }, own).peers.length).toBe(3);
  expect(readRunConfig({ "local-cpu": "4" }, { GIANTVM_LOCAL_CPU: "16,start" }).cpus).toBe(4);
  expect(() => readRunConfig({ ...original, peers: "a,b" }, {})).toThrow(
    "--local-cpu iplist and --peers are both given: use one of them",
  );
  // Where nodes give different numbers of vCPUs, start alone does not say which node this is.
  expect(readRunConfig({ ...original, self: "10.0.0.1" }, {}).self).toBe("10.0.0.1");
  const odd = { GIANTVM_LOCAL_CPU: '8,start=24,iplist="a b"' };
  expect(() => readRunConfig({}, odd)).toThrow("this is none of iplist; give --self");
  expect(readRunConfig({ self: "b" }, odd).self).toBe("b");
});

test("of --memory and --local-memory the one that stands in the stronger source counts", () => {
  const folder = mkdtempSync(join(tmpdir(), "giantvm-config-"));
  try {
    const path = join(folder, "vm.toml");
    writeFileSync(path, 'peers = ["a", "b"]\nmemory = "20G"\n');
    const local = readRunConfig({ config: path, "local-memory": "4G" }, {});
    expect(local.memoryBytes).toBe(4 * 2 ** 30);
    const variable = readRunConfig({ config: path }, { GIANTVM_LOCAL_MEMORY: "5G" });
    expect(variable.memoryBytes).toBe(5 * 2 ** 30);
    writeFileSync(path, 'peers = ["a", "b"]\nlocal-memory = "20G"\n');
    expect(readRunConfig({ config: path, memory: "4G" }, {}).memoryBytes).toBe(2 * 2 ** 30);
  } finally {
    rmSync(folder, { recursive: true });
  }
  expect(() => readRunConfig({ memory: "4G", "local-memory": "2G" }, {})).toThrow(
    "--local-memory and --memory are both given: use one of them",
  );
});

test("--memory is split into equal shares of whole pages", () => {
  const config = readRunConfig({ memory: "1G", peers: "a,b,c" }, {});
  expect(config.memoryBytes % 4096).toBe(0);
  expect(3 * config.memoryBytes).toBeLessThanOrEqual(2 ** 30);
  expect(3 * config.memoryBytes).toBeGreaterThan(2 ** 30 - 3 * 4096);
});

test("memory for pages of other nodes is what is left, or 16M and more", () => {
  expect(readRunConfig({}, {}).cacheBytes).toBeUndefined();
  expect(readRunConfig({ "cache-memory": "16M" }, {}).cacheBytes).toBe(2 ** 24);
  expect(() => readRunConfig({ "cache-memory": "15M" }, {})).toThrow(
    '--cache-memory "15M": give 16M or more for 1 vCPUs',
  );
});

test("many vCPUs need more of it", () => {
  const flags = { "cache-memory": "48M", "local-cpu": "48" };
  expect(readRunConfig(flags, {}).cacheBytes).toBe(48 * 2 ** 20);
  expect(() => readRunConfig({ ...flags, "cache-memory": "47M" }, {})).toThrow(
    "give 48M or more for 48 vCPUs",
  );
});

test("flag before environment before file, TOML and JSON", () => {
  const folder = mkdtempSync(join(tmpdir(), "giantvm-config-"));
  try {
    const toml = join(folder, "vm.toml");
    const lists = 'peers = ["a", "b"]\nappend = ["one=1", "two"]\n';
    writeFileSync(toml, `local-cpu = 3\nsilence = 500\nspin = 7\n${lists}`);
    const environment = { GIANTVM_CONFIG: toml, GIANTVM_LOCAL_CPU: "4", GIANTVM_SILENCE: "600" };
    const config = readRunConfig({ "local-cpu": "5" }, environment);
    expect([config.cpus, config.silenceMs, config.spinUs]).toEqual([5, 600, 7]);
    expect(config.peers.map((peer) => peer.host)).toEqual(["a", "b"]);
    expect(config.append).toBe("one=1 two");
    const json = join(folder, "vm.json");
    writeFileSync(json, '{"local-cpu": 9}');
    expect(readRunConfig({ config: json }, {}).cpus).toBe(9);
    writeFileSync(json, '{"verbose": true, "log-format": "json", "builtin": "yes"}');
    const logging = readRunConfig({ config: json, "log-format": "text" }, {});
    expect([logging.verbose, logging.json]).toEqual([true, false]);
    expect(() => readRunConfig({ config: json, kernel: "k" }, {})).toThrow("use one of them");
    expect(readRunConfig({}, { GIANTVM_VERBOSE: "1" }).verbose).toBe(true);
    expect(readRunConfig({}, { GIANTVM_LOG_FORMAT: "json" }).json).toBe(true);
    expect(() => readRunConfig({}, { GIANTVM_VERBOSE: "maybe" })).toThrow("give true or false");
    writeFileSync(json, '{"guard-off": "hurry"}');
    expect(() => readRunConfig({ config: json }, {})).toThrow("unknown option");
    expect(readRunConfig({}, { GIANTVM_GUARD_OFF: "hurry" }).guardOff).toBe("");
    expect(readRunConfig({ "guard-off": "hurry" }, {}).guardOff).toBe("hurry");
    writeFileSync(json, "{");
    expect(() => readRunConfig({ config: json }, {})).toThrow("cannot be read as JSON");
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("options for tests are flags alone", () => {
  const environment = { GIANTVM_GUARD_OFF: "defer_busy", GIANTVM_SCRATCH_NODE: "9" };
  const config = readRunConfig({}, environment);
  expect([config.guardOff, config.scratchNode]).toEqual(["", 0]);
  expect(readRunConfig({ "guard-off": "defer_busy" }, {}).guardOff).toBe("defer_busy");
  const folder = mkdtempSync(join(tmpdir(), "giantvm-config-"));
  try {
    const path = join(folder, "vm.toml");
    writeFileSync(path, 'guard-off = "defer_busy"\n');
    expect(() => readRunConfig({ config: path }, {})).toThrow('unknown option "guard-off"');
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("disks: each path begins one, from flags, a variable or a file's list", () => {
  const two = [
    { path: "a", readOnly: true, node: 0 },
    { path: "b=c", readOnly: false, node: 0 },
  ];
  expect(readRunConfig({ disk: "path=a,ro,path=b=c" }, {}).disks).toEqual(two);
  expect(readRunConfig({}, { GIANTVM_DISK: "path=a,ro,path=b=c,node=0" }).disks).toEqual(two);
  expect(readRunConfig({}, {}).disks).toEqual([]);
  const folder = mkdtempSync(join(tmpdir(), "giantvm-config-"));
  try {
    const toml = join(folder, "vm.toml");
    writeFileSync(toml, 'disk = ["path=a,ro", "path=b=c"]\n');
    expect(readRunConfig({ config: toml }, {}).disks).toEqual(two);
  } finally {
    rmSync(folder, { recursive: true });
  }
  const peers = { peers: "x,y" };
  const other = readRunConfig({ ...peers, disk: "path=a,node=1", "device-node": "1" }, {});
  expect(other.disks).toEqual([{ path: "a", readOnly: false, node: 1 }]);
  const refused: readonly [string, string][] = [
    ["a.img", "give path=FILE first"],
    ["ro,path=a", "give path=FILE first"],
    ["path=a,rw", '"rw" is none of path=FILE, ro, node=K'],
    ["path=", "give path=FILE first"],
    ["path=a,path=b,path=a", "a is named twice"],
    ["path=a,node=1", "give --device-node 1"],
    [Array.from({ length: 9 }, (_, i) => `path=${i}`).join(","), "8 disks are the most"],
  ];
  for (const [disk, sentence] of refused) {
    expect(() => readRunConfig({ ...peers, disk }, {})).toThrow(sentence);
  }
});

test("devices and console are on a node that exists", () => {
  const peers = { peers: "a,b,c" };
  const config = readRunConfig({ ...peers, "device-node": "2", "console-node": "1" }, {});
  expect([config.deviceNode, config.consoleNode]).toEqual([2, 1]);
  expect(() => readRunConfig({ ...peers, "device-node": "3" }, {})).toThrow("from 0 to 2");
});

function modules(flags: Record<string, string>) {
  const { images } = readRunConfig({ kernel: "k", ...flags }, {});
  return images?.modules.map(({ file, text }) => [file.value, text]);
}

test("modules are files, each with what the kernel is told of it", () => {
  expect(modules({})).toEqual([]);
  expect(modules({ modules: "a" })).toEqual([["a", ""]]);
  const expected = [
    ["/x/a", "one  two"],
    ["b", ""],
  ];
  expect(modules({ modules: " /x/a  one  two , b" })).toEqual(expected);
  for (const bad of ["", "a,", ",a", "a,,b"]) {
    expect(() => modules({ modules: bad })).toThrow(`--modules "${bad}": give FILE or FILE TEXT`);
  }
  const folder = mkdtempSync(join(tmpdir(), "giantvm-config-"));
  try {
    const path = join(folder, "vm.toml");
    writeFileSync(path, 'modules = ["/x/a one  two", "b"]\n');
    expect(modules({ config: path })).toEqual(expected);
  } finally {
    rmSync(folder, { recursive: true });
  }
  for (const name of ["modules", "initrd", "command-line"]) {
    expect(() => readRunConfig({ [name]: "x" }, {})).toThrow(`--${name} without --kernel`);
  }
});
