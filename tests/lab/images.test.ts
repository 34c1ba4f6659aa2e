/** @module Debian's kernel boots from src/machine's images on QEMU's own machine. */

import { expect, test } from "bun:test";
import { readFileSync, rmSync } from "node:fs";
import { guestArchive } from "../../scripts/lab/initramfs.ts";
import { LabMissing, type Packages, packages } from "../../scripts/lab/packages.ts";
import { scratchFolder } from "../../scripts/lab/scratch.ts";
import { Transcript } from "../../scripts/lab/transcript.ts";
import { tscKhz } from "../../scripts/lab/tsc.ts";
import { defaultCommandLine, linuxImages } from "../../src/machine/images.ts";
import { referenceArguments } from "./reference.ts";

const bootSecondsMax = 60;

function findPackages(): Packages | undefined {
  try {
    return packages((line) => console.log(`lab: ${line}`));
  } catch (error) {
    if (!(error instanceof LabMissing)) throw error;
    console.warn(`SKIPPED: the lab is not available here: ${error.message}`);
    return undefined;
  }
}

const found = findPackages();
const nodes = [
  { cpus: 1, ramPages: 0x8000 },
  { cpus: 1, ramPages: 0x8000 },
];

test.skipIf(found === undefined)(
  "Linux finds both CPUs, both NUMA nodes and no fault in the ACPI tables",
  async () => {
    const { vmlinuz, qemu, ...rest } = found!;
    const khz = await tscKhz();
    const images = linuxImages({
      kernel: { name: vmlinuz, bytes: new Uint8Array(readFileSync(vmlinuz)) },
      initrd: guestArchive({ vmlinuz, qemu, ...rest }),
      commandLine: defaultCommandLine(khz, nodes).replace("quiet", "loglevel=7"),
      nodes,
      deviceNode: 0,
    });
    const folder = scratchFolder();
    const machine = "-accel tcg -cpu max -smp 2 -m 256 -nodefaults -display none -serial stdio";
    const started = [qemu, ...machine.split(" "), "-no-reboot"];
    const child = Bun.spawn([...started, ...referenceArguments(images, folder)], {
      stdin: "pipe",
      stdout: "pipe",
      stderr: "inherit",
    });
    const transcript = new Transcript();
    const watchdog = setTimeout(() => child.kill("SIGKILL"), bootSecondsMax * 1000);
    const reading = (async () => {
      for await (const chunk of child.stdout) transcript.push(chunk);
      transcript.close();
    })();
    try {
      const up = await transcript.wait(/GUEST-UP .*\n/);
      if (!up) throw new Error(`the guest did not boot:\n${transcript.text.slice(-3000)}`);
      expect(up[0]).toContain("cpus 2");
      await transcript.wait(/guest# /);
      // The last that the kernel says by itself: it would stand in the middle of the answer.
      expect(await transcript.wait(/Switched to clocksource tsc\n/)).toBeDefined();
      child.stdin.write("ls -d /sys/devices/system/node/node*; echo END-$?\n");
      const answer = await transcript.wait(/node0\s.*node1\nEND-0/);
      expect(answer).toBeDefined();
    } finally {
      clearTimeout(watchdog);
      child.kill("SIGKILL");
      await reading;
      rmSync(folder, { recursive: true });
    }
    // This machine has no PM1 registers where the FADT says; giantvm's board has.
    const text = transcript.text.replace(/^.*Could not disable RealTimeClock events.*\n/m, "");
    expect(text).toContain("Command line: console=ttyS0");
    expect(text).toMatch(/ACPI: RSDP 0x00000000000E0000/);
    expect(text).toMatch(/SRAT: Node 1 PXM 1 \[mem 0x08000000-0x0fffffff\]/);
    expect(text).toMatch(/(ECAM|MMCONFIG).*\[mem 0xe0000000-0xe00fffff\]/);
    expect(text).toContain("root bus resource [mem 0xc0000000-0xdfffffff window]");
    expect(text).not.toMatch(/ACPI.*(error|warning|invalid|incorrect)/i);
  },
  (bootSecondsMax + 10) * 1000,
);
