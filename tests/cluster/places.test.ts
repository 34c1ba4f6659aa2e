/**
 * @module Devices and console on nodes of their own: keys typed at the console node reach the UART
 * of the device node, its output comes back, and the power button crosses, too. So does the end of
 * an interrupt.
 */

import { describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { ended, loopback, nodeWords, patient, startNodes } from "../nodes.ts";
import { executable, kvmMissing, Log, start, temporaryFolder } from "../program.ts";
import { onTerminal } from "../terminal.ts";
import { secondProcessor, tinyGuest } from "../tiny-guest.ts";

const missing = kvmMissing();
if (missing !== undefined) console.warn(`SKIPPED: devices and console elsewhere: ${missing}`);

function bytes(hex: string): Uint8Array {
  return Buffer.from(hex.replaceAll(" ", ""), "hex");
}

/**
 * l: mov dx,0x3fd; in al,dx; test al,1; jz l; mov dx,0x3f8; in al,dx; out dx,al; cmp al,'q';
 * jne l; xor eax,eax; out 0xf4,al; hlt
 */
const echo = bytes("66bafd03 ec a801 74f7 66baf803 ec ee 3c71 75ed 31c0 e6f4 f4");

/**
 * mov dx,0x3f8; mov al,'>'; out dx,al; mov dx,0x600 (PM1a status);
 * l: in ax,dx; test ah,1 (power button); jz l; xor eax,eax; out 0xf4,al; hlt
 */
const waitForPower = bytes("66baf803 b03e ee 66ba0006 66ed f6c401 74f9 31c0 e6f4 f4");

/**
 * mov dx,0xcf8; mov eax,0x80000000; out dx,eax; mov dx,0xcfc; in eax,dx; sub eax,0x0d578086;
 * mov ecx,eax; mov ebx,0xe0000000; mov eax,[rbx]; sub eax,0x0d578086; or eax,ecx; setnz al;
 * out 0xf4,al; hlt
 */
const findBridge = bytes(
  "66baf80c b800000080 ef 66bafc0c ed 2d8680570d 89c1 bb000000e0 8b03 2d8680570d 09c8 0f95c0 " +
    "e6f4 f4",
);

/**
 * The boot processor sends pin 9, the power button, to APIC id 1 as a level with vector 0x41:
 * mov edi,0xfec00000; mov [rdi],0x23; mov [rdi+16],0x01000000; mov [rdi],0x22; mov [rdi+16],0x8041
 */
const powerToSecond = bytes("bf0000c0fe c70723000000 c7471000000001 c70722000000 c7471041800000");

/**
 * mov sp,0x8000; x2APIC on by APIC_BASE (or ah,0xc) and SVR (0x1ff); mov [0x104],handler;
 * mov [0x106],0x800; mov dx,0x602; mov ax,0x100; out dx,ax (enable the button); print '>';
 * l: sti; hlt; jmp l
 *
 * handler: mov dx,0x600; in ax,dx; out dx,ax (clear what is set); add bl,ah (1: the button);
 * mov ecx,0x80b; xor eax,eax; xor edx,edx; wrmsr (EOI); print '0' + bl; cmp bl,2; jne e;
 * xor ax,ax; out 0xf4,al; e: iret
 */
const takePower = bytes(
  "bc0080 66b91b000000 0f32 80cc0c 0f30 66b90f080000 66b8ff010000 6631d2 0f30 c70604013e00 " +
    "c70606010008 ba0206 b80001 ef b03e baf803 ee fb f4 ebfc " +
    "ba0006 ed ef 00e3 66b90b080000 6631c0 6631d2 0f30 baf803 88d8 0430 ee 80fb02 7504 31c0 " +
    "e6f4 cf",
);

function commands(peers: readonly string[], kernel: string, devices: number, console: number) {
  const at = ["--device-node", `${devices}`, "--console-node", `${console}`];
  return peers.map((self, node) => [
    ...nodeWords(peers, self),
    ...patient,
    ...at,
    ...(node === 0 ? ["--kernel", kernel] : []),
  ]);
}

describe.skipIf(missing !== undefined)("devices and console elsewhere", () => {
  for (const [nodes, devices, console] of [
    [2, 1, 0],
    [2, 0, 1],
    [3, 1, 2],
  ] as const) {
    test(`${nodes} nodes, devices on node ${devices}, console on node ${console}`, async () => {
      using folder = temporaryFolder();
      const kernel = join(folder.path, "guest.elf");
      writeFileSync(kernel, tinyGuest(echo));
      const started = commands(await loopback(nodes), kernel, devices, console).map((args) =>
        start(args, { stdin: "pipe" }),
      );
      const text = `keys of node ${console}, all of them: q`;
      const input = started[console]!.process.stdin;
      if (input === undefined) throw new Error("stdin is no pipe");
      input.write(text);
      await input.end();
      const ends = await ended(started);
      expect(ends.map(({ code, signal }) => [code, signal])).toEqual(ends.map(() => [0, null]));
      expect(ends.map(({ stdout }) => stdout)).toEqual(
        ends.map((_, node) => (node === console ? text : "")),
      );
    }, 120_000);
  }

  for (const [where, nodes] of [
    ["here", 1],
    ["on another node", 2],
  ] as const) {
    test(`a long file as standard input waits for the guest: ${where}`, async () => {
      using folder = temporaryFolder();
      const kernel = join(folder.path, "guest.elf");
      writeFileSync(kernel, tinyGuest(echo));
      const text = `${Array.from({ length: 500 }, (_, index) => index).join(" ")}q`;
      const file = join(folder.path, "input");
      writeFileSync(file, text.padEnd(6 << 20, "."));
      const all = commands(await loopback(nodes), kernel, 0, nodes - 1);
      const boot = (args: readonly string[]) =>
        Bun.spawn([executable, ...args], {
          cwd: folder.path,
          stdin: Bun.file(file),
          stderr: "pipe",
        });
      // The one that reads is there first.
      const reader = boot(all.at(-1)!);
      const log = new Log();
      const logged = log.read(reader.stderr);
      if (nodes === 2) await log.contains("no authentication yet");
      const other = nodes === 2 ? start(all[0]!) : undefined;
      expect(await new Response(reader.stdout).text()).toBe(text);
      await logged;
      expect([await reader.exited, (await other?.finished)?.code ?? 0]).toEqual([0, 0]);
    }, 120_000);
  }

  test("a whole self-check with the devices on node 1 of 2", async () => {
    const ends = await ended(startNodes(await loopback(2), ["--device-node", "1", ...patient]));
    expect(ends.map(({ code, signal }) => [code, signal])).toEqual(ends.map(() => [0, null]));
    expect(ends[0]!.stdout).toContain("verdict pass");
    expect(ends[1]!.stdout).toBe("");
  }, 120_000);

  test("the PCI host bridge is found from the other node, by ports and by memory", async () => {
    using folder = temporaryFolder();
    const kernel = join(folder.path, "guest.elf");
    writeFileSync(kernel, tinyGuest(findBridge));
    const nodes = commands(await loopback(2), kernel, 1, 0).map((args) => start(args));
    const ends = await Promise.all(nodes.map((node) => node.finished));
    expect(ends.map(({ code, signal }) => [code, signal])).toEqual(ends.map(() => [0, null]));
  }, 120_000);

  // The routing table is made of these on every node, so they must not differ.
  for (const option of ["--device-node", "--console-node", "--scratch-node"]) {
    test(`${option} that differs is refused by both`, async () => {
      const peers = await loopback(2);
      const nodes = startNodes(peers, (node) => [option, String(node)]);
      for (const { code, stderr } of await ended(nodes)) {
        expect(code).toBe(4);
        expect(stderr).toContain(`(${peers[1]}) has ${option} 1, node 0 (${peers[0]}) has 0: use`);
      }
    });
  }

  test("a place that no node has is refused", async () => {
    const peers = await loopback(2);
    const none = [...nodeWords(peers, peers[0]!), "--device-node", "2"];
    const { code, stderr } = await start(none).finished;
    expect(code).toBe(2);
    expect(stderr).toContain('--device-node "2": give a whole number from 0 to 1');
  });

  test("the power button crosses nodes", async () => {
    using folder = temporaryFolder();
    const kernel = join(folder.path, "guest.elf");
    writeFileSync(kernel, tinyGuest(waitForPower));
    const [first, second] = commands(await loopback(2), kernel, 1, 0);
    const other = start(second!);
    await using typed = onTerminal([executable, ...first!]);
    await typed.printed(">");
    typed.terminal.write("\x01p");
    await typed.child.exited;
    expect([typed.child.exitCode, typed.child.signalCode]).toEqual([0, null]);
    expect((await other.finished).code).toBe(0);
  }, 120_000);

  test("a level interrupt that a vCPU of another node ends comes again", async () => {
    using folder = temporaryFolder();
    const kernel = join(folder.path, "guest.elf");
    writeFileSync(kernel, secondProcessor(takePower, powerToSecond));
    const [first, second] = commands(await loopback(2), kernel, 0, 0);
    const other = start(second!);
    await using typed = onTerminal([executable, ...first!]);
    for (const seen of [">", ">1"]) {
      await typed.printed(seen);
      typed.terminal.write("\x01p");
    }
    await typed.child.exited;
    expect([typed.child.exitCode, typed.child.signalCode]).toEqual([0, null]);
    expect(typed.text()).toContain(">12");
    expect((await other.finished).code).toBe(0);
  }, 120_000);
});
