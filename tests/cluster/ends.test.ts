/** @module How a VM of two and three processes ends: by silence, by the guest on either node. */

import { describe, expect, test } from "bun:test";
import { readdirSync, readFileSync, readlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ended, loopback, patient, startNodes } from "../nodes.ts";
import { kvmMissing, start, temporaryFolder } from "../program.ts";
import { hex, secondProcessor, tinyGuest } from "../tiny-guest.ts";

const missing = kvmMissing();
if (missing !== undefined) console.warn(`SKIPPED: ends of a cluster: ${missing}`);

async function cluster(count: number, own: (node: number) => readonly string[]) {
  return startNodes(await loopback(count), (node) => ["-v", ...patient, ...own(node)]);
}

/** Runs a guest of a few bytes over two nodes; only the first has its file. */
async function guest(kernel: Uint8Array) {
  using folder = temporaryFolder();
  const path = join(folder.path, "guest.elf");
  writeFileSync(path, kernel);
  const nodes = await cluster(2, (node) => (node === 0 ? ["--kernel", path] : []));
  // The folder must outlive them.
  return await ended(nodes);
}

const busy = ["--scale", "10000"];

describe.skipIf(missing !== undefined)("the end", () => {
  test("a node that stands still is lost to every survivor", async () => {
    const nodes = startNodes(await loopback(3), ["-v", "--silence", "8000", ...busy]);
    await Promise.all(nodes.map((node) => node.logged("the VM runs")));
    nodes[1]!.process.kill("SIGSTOP");
    const [first, last] = await Promise.all([nodes[0]!.finished, nodes[2]!.finished]);
    nodes[1]!.process.kill("SIGKILL");
    await nodes[1]!.finished;
    for (const { code, signal, stderr } of [first, last]) {
      expect(stderr).toMatch(/node 1 \(.*\) was lost: .*8000 ms/);
      expect({ code, signal }).toEqual({ code: 5, signal: null });
    }
  });

  test("SIGINT to one node ends both with 130", async () => {
    const nodes = await cluster(2, () => busy);
    await nodes[0]!.logged("the VM runs");
    nodes[0]!.process.kill("SIGINT");
    for (const { finished } of nodes) {
      const { code, signal, stderr } = await finished;
      expect({ code, signal }).toEqual({ code: 130, signal: null });
      expect(stderr).toContain("stopped by SIGINT");
    }
  });

  test("a triple fault of node 0 is told with its registers on both", async () => {
    // lidt [zeros]; ud2
    for (const end of await guest(tinyGuest(hex("0f011d02000000 0f0b 00000000000000000000")))) {
      expect(end.stderr).toMatch(/vCPU 0 on node 0: triple fault\nrip=[0-9a-f]{16} .*\n.*cr3=/s);
      expect({ code: end.code, signal: end.signal }).toEqual({ code: 6, signal: null });
    }
  });

  test("a crash of node 1 is told on both, too", async () => {
    // lidt cs:[0x10], which is all zero; ud2
    const code = hex("2e0f011e1000 0f0b 0000000000000000 00000000000000000000");
    for (const end of await guest(secondProcessor(code))) {
      expect(end.stderr).toMatch(/vCPU 1 on node 1: .+\nrip=[0-9a-f]{16} /);
      expect({ code: end.code, signal: end.signal }).toEqual({ code: 6, signal: null });
    }
  });

  test("a vCPU of node 1 powers the machine off", async () => {
    // mov dx,0x604; mov ax,0x3400 (SLP_EN, S5); out dx,ax; hlt; jmp $-1
    for (const end of await guest(secondProcessor(hex("ba0406 b80034 ef f4 ebfd")))) {
      expect(end.stderr).toContain("the guest powered off");
      expect({ code: end.code, signal: end.signal }).toEqual({ code: 0, signal: null });
    }
  });

  test("a vCPU of node 1 resets the machine, and powers it off in the third life", async () => {
    // mov dx,0x508; in al,dx; inc al; out dx,al; cmp al,3; je off; mov dx,0xcf9; mov al,6;
    // out dx,al; hlt; off: mov dx,0x604; mov ax,0x3400; out dx,ax; hlt
    const code = "ba0805 ec fec0 ee 3c03 7407 baf90c b006 ee f4 ba0406 b80034 ef f4";
    for (const end of await guest(secondProcessor(hex(code)))) {
      expect(end.stderr.match(/the guest restarts/g)?.length).toBe(2);
      expect(end.stderr).toContain("the guest powered off");
      expect({ code: end.code, signal: end.signal }).toEqual({ code: 0, signal: null });
    }
  }, 120_000);

  test("a year and a byte that a vCPU of node 1 gave the clock chip outlive a reset", async () => {
    // mov dx,0x508; in al,dx; inc al; out dx,al; cmp al,2; je read
    // register 0x40 = 0xab; register B = 0x82 (SET); register 9 = 0x77; register B = 2
    // mov dx,0xcf9; mov al,6; out dx,al; hlt; jmp $-1
    // read: register 0x40; cmp al,0xab; jne bad; register 9; cmp al,0x77; je off
    // bad: out 0xf4,al; hlt
    // off: mov dx,0x604; mov ax,0x3400; out dx,ax; hlt
    const code =
      "ba0805 ec fec0 ee 3c02 7429 b040 e670 b0ab e671 b00b e670 b082 e671 b009 e670 b077 e671 " +
      "b00b e670 b002 e671 baf90c b006 ee f4 ebfd b040 e670 e471 3cab 750a b009 e670 e471 3c77 " +
      "7403 e6f4 f4 ba0406 b80034 ef f4";
    for (const end of await guest(secondProcessor(hex(code)))) {
      expect(end.stderr.match(/the guest restarts/g)?.length).toBe(1);
      expect(end.stderr).toContain("the guest powered off");
      expect({ code: end.code, signal: end.signal }).toEqual({ code: 0, signal: null });
    }
  }, 120_000);
});

/** "127.0.0.1:PORT" of every UDP socket that a process has. */
function udpSockets(pid: number): readonly string[] {
  const links = new Set(
    readdirSync(`/proc/${pid}/fd`).map((fd) => {
      try {
        return readlinkSync(`/proc/${pid}/fd/${fd}`);
      } catch {
        return "";
      }
    }),
  );
  return ["udp", "udp6"].flatMap((file) =>
    readFileSync(`/proc/${pid}/net/${file}`, "utf8")
      .split("\n")
      .slice(1)
      .map((line) => line.trim().split(/\s+/))
      .filter((columns) => links.has(`socket:[${columns[9]}]`))
      .map(([, local = ""]) => {
        const [address = "", port = ""] = local.split(":");
        const bytes = Buffer.from(address, "hex").toReversed();
        return `${[...bytes].join(".")}:${Number.parseInt(port, 16)}`;
      }),
  );
}

describe.skipIf(missing !== undefined)("the start", () => {
  test("binds --self alone and says that nobody is authenticated", async () => {
    const nodes = await cluster(2, () => busy);
    await Promise.all(nodes.map((node) => node.logged("the VM runs")));
    for (const { process } of nodes) {
      const sockets = udpSockets(process.pid);
      expect(sockets.length).toBe(2);
      for (const socket of sockets) expect(socket).toStartWith("127.0.0.1:");
    }
    nodes[0]!.process.kill("SIGTERM");
    for (const { finished } of nodes) {
      expect((await finished).stderr).toContain(
        "there is no authentication yet: keep this network to yourself",
      );
    }
  });

  test("one node alone is no network", async () => {
    // Two on one host are not in each other's way.
    const nodes = [1, 2].map(() => start(["run", ...busy, "-v"]));
    for (const { logged, process } of nodes) {
      await logged("the VM runs");
      // Its engine's alone.
      expect(udpSockets(process.pid)).toHaveLength(1);
    }
    for (const { process, finished } of nodes) {
      process.kill("SIGTERM");
      const { code, stderr } = await finished;
      expect(code).toBe(143);
      expect(stderr).not.toContain("authentication");
    }
  });

  test("--config, --memory and the original's form make one VM", async () => {
    using folder = temporaryFolder();
    const [first, second] = await loopback(2);
    const path = join(folder.path, "vm.toml");
    const lines = [`peers = ["${first}", "${second}"]`, `self = "${first}"`, 'memory = "128M"'];
    writeFileSync(path, [...lines, "verbose = true", "silence = 20000", ""].join("\n"));
    const list = `1,start=1,iplist="${first} ${second}"`;
    const nodes = [
      start(["run", "--scale", "1"], { env: { GIANTVM_CONFIG: path } }),
      start(["run", "--scale", "1", "--local-cpu", list, "--memory", "128M", "--silence", "20000"]),
    ];
    const [one, two] = await Promise.all(nodes.map((node) => node.finished));
    expect(one!.stdout).toContain("node 0: vCPUs 0-0, 64 MiB from 0x0");
    expect(one!.stdout).toContain("node 1: vCPUs 1-1, 64 MiB from 0x4000000");
    expect(one!.stdout).toContain("verdict pass");
    expect(one!.stderr).toContain("agreed: 2 nodes, 2 vCPUs, 128 MiB");
    expect([one!.code, two!.code]).toEqual([0, 0]);
  }, 120_000);
});
