/** @module Bad input: one sentence on stderr, the exit code of the table, nothing on stdout. */

import { describe, expect, test } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { kvmMissing, run, start, temporaryFolder } from "../program.ts";
import { tinyGuest } from "../tiny-guest.ts";
import { toolMissing } from "../tools.ts";

const missing = kvmMissing();
if (missing !== undefined) console.warn(`SKIPPED: reports and logs of a guest: ${missing}`);
const noPrivileges =
  process.getuid?.() === 0 ? toolMissing("setpriv", "util-linux") : "root is needed";
if (noPrivileges !== undefined) console.warn(`SKIPPED: forbidden files: ${noPrivileges}`);

const cases: readonly {
  readonly args: readonly string[];
  readonly code: number;
  readonly says: string | RegExp;
}[] = [
  { args: ["frobnicate"], code: 2, says: '"frobnicate" is no command' },
  { args: ["run", "--frobnicate"], code: 2, says: "--frobnicate: no such option; see giantvm" },
  { args: ["run", "--localCpu", "abc"], code: 2, says: "no such option; write --local-cpu" },
  { args: ["run", "--no-builtin"], code: 2, says: "--no-builtin: no such option" },
  { args: ["run", "-vv"], code: 2, says: "-vv: no such option" },
  { args: ["run", "--kernel", "a", "--kernel", "b"], code: 2, says: "--kernel is given twice" },
  { args: ["run", "--peers", "a:1", "--peers", "a:1"], code: 2, says: "names a:1 twice" },
  { args: ["run", "--hide-cpu", "avx9", "--hide-cpu", "avx"], code: 2, says: '"avx9": no CPU' },
  { args: ["demo", "--nodes", "2", "--nodes", "3"], code: 2, says: "--nodes is given twice" },
  { args: ["doctor", "--json", "--json"], code: 2, says: "--json is given twice" },
  { args: ["doctor", "--peers", "h:1", "--peers", "h:1"], code: 2, says: "names h:1 twice" },
  { args: ["bench", "dsm", "--rounds", "9", "--rounds", "9"], code: 2, says: "given twice" },
  { args: ["bench", "dsm", "more"], code: 2, says: '"dsm more": not understood' },
  { args: ["debug", "constructor"], code: 2, says: 'debug "constructor": give one of registers' },
  { args: ["debug", "toString"], code: 2, says: 'debug "toString": give one of registers' },
  { args: ["hot", "--listen", "1"], code: 2, says: "--listen: no such option" },
  { args: ["version", "--json"], code: 2, says: "--json: no such option" },
  { args: ["run", "--help=x"], code: 2, says: "--help: no such option" },
  { args: ["run", "extra"], code: 2, says: '"extra": not understood' },
  { args: ["run", "--local-cpu", "0"], code: 2, says: '--local-cpu "0": give a whole number' },
  { args: ["run", "--local-cpu", "many"], code: 2, says: "from 1 to 255" },
  { args: ["run", "--local-cpu", "2,start=x"], code: 2, says: "iplist=" },
  { args: ["run", "--local-memory", "12parsec"], code: 2, says: "a size such as 512M" },
  { args: ["run", "--local-memory", "4096B"], code: 2, says: "a size such as 512M" },
  { args: ["run", "--local-memory", "16T"], code: 2, says: "give 8T at most" },
  { args: ["run", "--local-memory", "1K"], code: 2, says: "multiple of 4K" },
  { args: ["run", "--local-memory", "1G", "--memory", "2G"], code: 2, says: "use one of them" },
  { args: ["run", "--peers", "a:99999"], code: 2, says: "ports from 1 to 65535" },
  { args: ["run", "--peers", "h:1,h:1"], code: 2, says: "names h:1 twice" },
  { args: ["run", "--peers", "host.invalid"], code: 4, says: "cannot be resolved" },
  { args: ["run", "--peers", "198.51.100.1,198.51.100.2"], code: 2, says: "give --self" },
  { args: ["run", "--peers", "127.0.0.1:1,127.0.0.1:2"], code: 2, says: "give --self" },
  {
    args: ["run", "--peers", "198.51.100.1:7", "--self", "elsewhere"],
    code: 2,
    says: "is none of",
  },
  { args: ["run", "--kernel", "/no/such/bzImage"], code: 2, says: "there is no such file" },
  { args: ["run", "--initrd", "/dev/null"], code: 2, says: "--initrd without --kernel" },
  { args: ["run", "--config", "/no/such.toml"], code: 2, says: "there is no such file" },
  { args: ["run", "--config", "/etc"], code: 2, says: "--config /etc: is a folder" },
  { args: ["run", "--kernel", "/etc"], code: 2, says: "--kernel /etc: is a folder" },
  { args: ["run", "--kernel", "/etc/passwd/x"], code: 2, says: "there is no such file" },
  {
    args: ["run", "--kernel", "/etc/passwd", "--initrd", "/etc"],
    code: 2,
    says: "--initrd /etc: is a folder",
  },
  { args: ["run", "--kernel", "/dev/null"], code: 2, says: "/dev/null: is no regular file" },
  { args: ["run", "--kernel", "/etc/passwd"], code: 2, says: "is no kernel known here: give a" },
  {
    args: ["run", "--kernel", "/etc/passwd", "--modules", "/no/such/module text"],
    code: 2,
    says: "--modules /no/such/module: there is no such file",
  },
  { args: ["run", "--command-line", "x"], code: 2, says: "--command-line without --kernel" },
  { args: ["run", "--builtin", "--kernel", "/etc/passwd"], code: 2, says: "use one of them" },
  { args: ["run", "--disk", "disk.img"], code: 2, says: "give path=FILE first" },
  {
    args: ["run", "--disk", "path=/no/such.img"],
    code: 2,
    says: "--disk /no/such.img: there is no such file",
  },
  { args: ["run", "--disk", "path=/etc,ro"], code: 2, says: "--disk /etc: is a folder" },
  {
    args: ["run", "--disk", `path=${"x".repeat(256)}`],
    code: 2,
    says: "x: cannot be opened (ENAMETOOLONG)",
  },
  { args: ["run", "--disk", "path=/dev/null"], code: 2, says: "neither a file nor a block device" },
  { args: ["run", "--report", "/etc"], code: 2, says: "--report /etc: is a folder" },
  { args: ["run", "--report", "/no/such/x"], code: 2, says: "there is no such folder" },
  { args: ["run", "--report", "/etc/passwd/x"], code: 2, says: "there is no such folder" },
  { args: ["run", "--report", "x".repeat(256)], code: 2, says: "cannot be used (ENAMETOOLONG)" },
  {
    args: ["run", "--disk", "path=/etc/passwd/x"],
    code: 2,
    says: "--disk /etc/passwd/x: there is no such file",
  },
  { args: ["run", "--hide-cpu", "avx9"], code: 2, says: /--hide-cpu "avx9": no CPU.*one of avx/ },
  { args: ["run", "--hide-cpu", "toString"], code: 2, says: "no CPU feature known here" },
  { args: ["run", "--guard-off", "luck"], code: 2, says: "there is no guard of that name" },
  { args: ["run", "--local-cpu"], code: 2, says: "--local-cpu: give a value (N)" },
  { args: ["run", "--report", "-v"], code: 2, says: "--report: give a value (FILE)" },
  { args: ["run", "--report="], code: 2, says: "is a folder; name a file" },
  { args: ["run", "--silence", "1"], code: 2, says: "from 100 to 600000" },
  { args: ["run", "--log-format", "xml"], code: 2, says: "give text or json" },
  { args: ["demo", "--nodes", "0"], code: 2, says: "from 1 to 64" },
  { args: ["demo", "--memory", "much"], code: 2, says: "a size such as 512M" },
  { args: ["bench"], code: 2, says: "give what to measure: dsm" },
  { args: ["bench", "dsm", "--rounds", "1"], code: 2, says: "from 10 to 20000" },
  { args: ["demo", "--nodes", "64", "--cpus", "9"], code: 2, says: "at most 255" },
  { args: ["help", "frobnicate"], code: 2, says: "no such command" },
];

describe("bad input", () => {
  for (const { args, code, says } of cases) {
    test(args.join(" "), async () => {
      const end = await run(args);
      expect(end.stdout).toBe("");
      expect(end.stderr).toMatch(says);
      // One sentence, beside the warning that such an option always brings.
      const lines = end.stderr.trim().split("\n");
      expect(lines.filter((line) => !line.includes("switched off")).length).toBe(1);
      expect({ code: end.code, signal: end.signal }).toEqual({ code, signal: null });
    });
  }

  test("a port in use", async () => {
    const socket = await Bun.udpSocket({ hostname: "127.0.0.1", port: 0 });
    try {
      const end = await run(["run", "--peers", `127.0.0.1:${socket.port}`]);
      expect(end.stderr).toContain(`UDP port ${socket.port} on 127.0.0.1 is in use`);
      expect(end.code).toBe(2);
    } finally {
      socket.close();
    }
  });

  test("an address that is not this host's", async () => {
    const end = await run(["run", "--peers", "198.51.100.1:7"]);
    expect(end.stderr).toContain("is not an address of this host");
    expect(end.code).toBe(2);
  });

  test.skipIf(noPrivileges !== undefined)("files that this user may not use", async () => {
    using folder = temporaryFolder();
    const secret = join(folder.path, "secret.toml");
    writeFileSync(secret, "", { mode: 0o000 });
    const closed = join(folder.path, "closed");
    mkdirSync(closed, { mode: 0o000 });
    const inside = join(closed, "x");
    const under = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"];
    const refused = [
      ...["--config", "--kernel", "--report"].map((option) => [option, secret]),
      ["--report", inside],
      ["--disk", `path=${inside}`],
    ];
    for (const [option = "", file = ""] of refused) {
      const end = await run(["run", option, file], { under });
      const [, path = file] = file.split("=");
      expect(end.stderr).toMatch(`${option} ${path}: this user may not `);
      expect({ code: end.code, stdout: end.stdout }).toEqual({ code: 2, stdout: "" });
    }
  });

  test.skipIf(missing !== undefined)("a report that cannot be written", async () => {
    using folder = temporaryFolder();
    const kernel = join(folder.path, "guest.elf");
    writeFileSync(kernel, tinyGuest(crash));
    const end = await run(["run", "--kernel", kernel, "--report", "/dev/full"]);
    expect(end.stderr).toMatch(/--report \/dev\/full: not written/);
    expect(end.stderr).toMatch(/vCPU 0 on node 0: triple fault\nrip=/);
    expect(end.code).toBe(6);
  });

  test("a config file with an unknown name, and a flag that wins over it", async () => {
    using folder = temporaryFolder();
    const path = join(folder.path, "vm.toml");
    writeFileSync(path, 'local-cpu = 3\nflavour = "mild"\n');
    const unknown = await run(["run", "--config", path]);
    expect(unknown.stderr).toContain('unknown option "flavour"');
    expect(unknown.code).toBe(2);
    writeFileSync(path, 'local-cpu = 3\nlocal-memory = "none"\n');
    const value = await run(["run", "--config", path]);
    expect(value.stderr).toContain(`local-memory in ${path} "none"`);
    const environment = await run(["run"], { env: { GIANTVM_LOCAL_CPU: "x" } });
    expect(environment.stderr).toContain('GIANTVM_LOCAL_CPU "x"');
    const flag = await run(["run", "--local-cpu", "y"], { env: { GIANTVM_LOCAL_CPU: "x" } });
    expect(flag.stderr).toContain('--local-cpu "y"');
  });
});

/** lidt [zeros]; ud2: an exception without a handler is a triple fault. */
const crash = Buffer.from("0f011d02000000 0f0b 00000000000000000000".replaceAll(" ", ""), "hex");

function parsed(stderr: string) {
  const lines = stderr.trim().split("\n");
  return lines.map((line) => JSON.parse(line) as { time: string; level: string; text: string });
}

describe("--log-format json", () => {
  test("every line is an object, from the first complaint on", async () => {
    const file = { env: { GIANTVM_CONFIG: "/no/such.toml", GIANTVM_LOG_FORMAT: "json" } };
    const ends = [
      await run(["run", "--log-format", "json", "--local-cpu", "0"]),
      await run(["run", "--log-format=json", "--frobnicate"]),
      await run(["run"], file),
      await run(["run", "--log-format", "json", "--peers", "198.51.100.1:7"]),
    ];
    for (const { code, stderr } of ends) {
      expect(code).toBe(2);
      const [line, ...more] = parsed(stderr);
      expect(more).toEqual([]);
      expect(line!.level).toBe("error");
      expect(Date.parse(line!.time)).toBeGreaterThan(0);
    }
  });

  test.skipIf(missing !== undefined)("and to the last sentence", async () => {
    const node = start(["run", "-v", "--scale", "10000"], { env: { GIANTVM_LOG_FORMAT: "json" } });
    await node.logged("the VM runs");
    node.process.kill("SIGTERM");
    const { code, stderr } = await node.finished;
    expect(code).toBe(143);
    const lines = parsed(stderr);
    expect(lines.length).toBeGreaterThan(2);
    expect(lines.at(-1)).toMatchObject({ level: "error", text: "stopped by SIGTERM" });
  });
});

describe("the compiled program in another folder", () => {
  test("prints help and version without reading what lies there", async () => {
    using folder = temporaryFolder();
    writeFileSync(join(folder.path, "bunfig.toml"), 'preload = ["./evil.ts"]\n');
    writeFileSync(join(folder.path, ".env"), "GIANTVM_LOCAL_CPU=evil\n");
    writeFileSync(join(folder.path, "evil.ts"), "process.exit(99);\n");
    for (const args of [["--version"], ["version"], ["help"], ["--help"], ["run", "--help"]]) {
      const end = await run(args, { cwd: folder.path });
      expect({ args, code: end.code, stderr: end.stderr }).toEqual({ args, code: 0, stderr: "" });
      expect(end.stdout).toContain("giantvm");
    }
    // Were .env read, this would end like the second, whose environment really has the value.
    const plain = await run(["run", "--peers", "host.invalid"], { cwd: folder.path });
    expect(plain.stderr).toContain("host.invalid: the name cannot be resolved");
    const env = { GIANTVM_LOCAL_CPU: "evil" };
    const given = await run(["run", "--peers", "host.invalid"], { cwd: folder.path, env });
    expect(given.stderr).toContain('GIANTVM_LOCAL_CPU "evil"');
  });
});
