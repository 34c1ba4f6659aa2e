/**
 * @module A guest that prints more than anybody reads: it is slowed, not cut short, and its last
 * words are written after it has ended. Standard output is a pipe that is read when a test says so.
 */

import { describe, expect, test } from "bun:test";
import { closeSync, constants, openSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ControlClient } from "../../src/control/client.ts";
import { loopback, nodeWords, patient } from "../nodes.ts";
import { executable, kvmMissing, Log, temporaryFolder } from "../program.ts";
import { hex, tinyGuest } from "../tiny-guest.ts";

const missing = kvmMissing();
if (missing !== undefined) console.warn(`SKIPPED: a console that nobody reads: ${missing}`);

/**
 * Prints so many bytes, 0x20 to 0x5f over and over, and ends with 0; 16, what the FIFO holds, each
 * time THRE says so.
 *
 *     xor ebx,ebx; mov dx,0x3fa; mov al,1; out dx,al
 *     l: mov dx,0x3fd; w: in al,dx; test al,0x20; jz w; mov dx,0x3f8
 *     i: mov eax,ebx; and al,0x3f; add al,0x20; out dx,al; inc ebx; test bl,15; jnz i
 *     cmp ebx,count; jne l; xor eax,eax; out 0xf4,al; hlt
 */
function printer(count: number): Uint8Array {
  const length = Buffer.alloc(4);
  length.writeUInt32LE(count);
  return tinyGuest(
    Buffer.concat([
      hex("31db 66bafa03 b001 ee 66bafd03 ec a820 74fb 66baf803"),
      hex("89d8 243f 0420 ee ffc3 f6c30f 75f2 81fb"),
      length,
      hex("75dd 31c0 e6f4 f4"),
    ]),
  );
}

function printed(count: number): string {
  const all = Array.from({ length: 64 }, (_, index) => String.fromCharCode(0x20 + index)).join("");
  return all.repeat(count / 64);
}

/**
 * This guest, whose console is read from `read` on, to its end: on one node, or with a second one
 * that has the console.
 */
async function unread(count: number, nodes: 1 | 2 = 1) {
  const folder = temporaryFolder();
  const kernel = join(folder.path, "guest.elf");
  writeFileSync(kernel, printer(count));
  const pipe = join(folder.path, "stdout");
  expect(Bun.spawnSync(["mkfifo", pipe]).exitCode).toBe(0);
  const fd = openSync(pipe, constants.O_RDWR);
  const control = join(folder.path, "control");
  const peers = await loopback(nodes);
  const all = ["-v", ...patient, "--console-node", `${nodes - 1}`];
  const boot = (node: number, stdout: number | "ignore") => {
    const own = node === 0 ? ["--kernel", kernel, "--control", control] : [];
    return Bun.spawn([executable, ...nodeWords(peers, peers[node]!), ...all, ...own], {
      cwd: tmpdir(),
      stdin: "ignore",
      stdout,
      stderr: node === 0 ? "pipe" : "ignore",
    });
  };
  const child = boot(0, nodes === 1 ? fd : "ignore") as Bun.Subprocess<"ignore", number, "pipe">;
  const other = nodes === 1 ? undefined : boot(1, fd);
  closeSync(fd);
  const log = new Log();
  const logged = log.read(child.stderr);
  const read = async () => {
    const text = await new Response(Bun.spawn(["cat", pipe]).stdout).text();
    await Promise.all([logged, child.exited, other?.exited]);
    return { text, code: child.exitCode, signal: child.signalCode };
  };
  const dispose = () => {
    child.kill("SIGKILL");
    other?.kill("SIGKILL");
    folder[Symbol.dispose]();
  };
  return { child, log, logged, control, read, [Symbol.dispose]: dispose };
}

/** How often the guest has asked for something of its serial port. */
async function accesses(client: ControlClient): Promise<number> {
  const [answer] = await client.ask({ ask: "counters" });
  return (answer as unknown as { value: { ioLocal: number } }).value.ioLocal;
}

describe.skipIf(missing !== undefined)("a console that nobody reads", () => {
  for (const [nodes, where, kilobytes] of [
    [1, "here", 448],
    [2, "on another node", 704],
  ] as const) {
    test(`slows the guest, which loses nothing: ${where}`, async () => {
      const count = kilobytes * 1024;
      using vm = await unread(count, nodes);
      await vm.log.contains("the VM runs");
      const client = await ControlClient.open(vm.control);
      // Unslowed, it would have ended after 17 for 16 bytes, and its socket with it.
      while ((await accesses(client)) < (17 * count) / 16 + 10_000) await Bun.sleep(5);
      client.close();
      expect(vm.log.text).not.toContain("the guest ended");
      const { text, code, signal } = await vm.read();
      expect(text === printed(count)).toBe(true);
      expect({ code, signal }).toEqual({ code: 0, signal: null });
    }, 600_000);
  }

  test("is waited for when the guest has ended", async () => {
    const count = 96 * 1024;
    using vm = await unread(count);
    await vm.log.contains("the guest ended with 0");
    const { text, code, signal } = await vm.read();
    expect(text === printed(count)).toBe(true);
    expect({ code, signal }).toEqual({ code: 0, signal: null });
  }, 120_000);

  test("does not keep a signal from ending the VM", async () => {
    using vm = await unread(96 * 1024);
    await vm.log.contains("the guest ended with 0");
    vm.child.kill("SIGTERM");
    await Promise.all([vm.logged, vm.child.exited]);
    expect(vm.log.text).toMatch(/the console's last \d+ bytes were not read/);
    expect({ code: vm.child.exitCode, signal: vm.child.signalCode }).toEqual({
      code: 0,
      signal: null,
    });
  }, 120_000);
});
