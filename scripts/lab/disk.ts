/**
 * @module The disk of a Linux guest in the lab: an ext4 image made from files by mke2fs, which
 * needs no mount and no root, and what the first host finds in it once the guest is off.
 */

import { chmodSync, copyFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { installed, LabMissing } from "./packages.ts";
import { scratchFolder } from "./scratch.ts";

/** On every host; the guest's disk is that of the first. */
export const diskPath = "/images/disk.img";
export const diskSectors = 16 * 1024;
export const diskGreeting = "made by mke2fs";
/** First process of the guest, from the initramfs or from the disk. */
export const guestInit = "guest/init.sh";
/** What a guest leaves in /kept before it powers off. */
export const diskKept = "kept by the guest";
/** Exit code of a host whose disk is not as the guest left it. */
const badDisk = 65;

/** What makes the image, and what looks into it on the emulated host. */
export type DiskTools = { readonly mke2fs: string; readonly inspectors: readonly string[] };

export function diskTools(say: (line: string) => void): DiskTools {
  const tool = (name: string) => installed(name, ["e2fsprogs"], say);
  return { mke2fs: tool("mke2fs"), inspectors: [tool("e2fsck"), tool("debugfs")] };
}

/** The image: a greeting, and a program to run from it, or to be the guest's root with. */
export function makeDisk({ mke2fs }: DiskTools, busybox: string): Uint8Array {
  const folder = scratchFolder();
  try {
    const [files, path] = [join(folder, "files"), join(folder, "disk.img")];
    mkdirSync(join(files, "bin"), { recursive: true });
    copyFileSync(busybox, join(files, "bin/busybox"));
    chmodSync(join(files, "bin/busybox"), 0o755);
    copyFileSync(join(import.meta.dir, guestInit), join(files, "init"));
    chmodSync(join(files, "init"), 0o755);
    writeFileSync(join(files, "greeting"), `${diskGreeting}\n`);
    const size = `${diskSectors / 2}k`;
    const words = ["-q", "-F", "-t", "ext4", "-E", "root_owner=0:0", "-d", files, path, size];
    const done = Bun.spawnSync([mke2fs, ...words], { stderr: "pipe" });
    if (done.exitCode !== 0) throw new LabMissing(`mke2fs: ${done.stderr.toString().trim()}`);
    return readFileSync(path);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/**
 * Shell text for the host whose disk it is, around the command that runs giantvm: afterwards the
 * file system must be whole, nothing left to replay, and hold what the guest left.
 */
export function withDiskCheck(command: string): string {
  const clean = `e2fsck -fn ${diskPath}`;
  const kept = `debugfs -R 'cat /kept' ${diskPath} 2>/dev/null`;
  return (
    `${command}; code=$?; [ $code = 0 ] || exit $code; ` +
    `${clean} >&2 && [ "$(${kept})" = "${diskKept}" ] || ` +
    `{ echo "the disk is not as the guest left it: $(${kept})" >&2; exit ${badDisk}; }`
  );
}
