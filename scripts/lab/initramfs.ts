/**
 * @module The file systems of the lab: one archive for an emulated host (busybox, KVM and network
 * modules, giantvm and the tests' bare engine with the C library they need, the guest's images),
 * one for the Linux guest.
 *
 * Neither is compressed: unpacking under emulation costs more than copying does.
 */

import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { Cpio } from "./cpio.ts";
import { diskPath } from "./disk.ts";
import { LabMissing, type Packages } from "./packages.ts";

const root = join(import.meta.dir, "../..");
const lab = join(root, "dist/lab");

/** In the order in which they are loaded; the last only where the network is to be bad. */
const moduleFiles = [
  "virt/lib/irqbypass.ko",
  "arch/x86/kvm/kvm.ko",
  "arch/x86/kvm/kvm-amd.ko",
  "net/core/failover.ko",
  "drivers/net/net_failover.ko",
  "drivers/net/virtio_net.ko",
  "net/sched/sch_netem.ko",
];

/** Of the Linux guest, in the order in which they are loaded: the rest is built in. */
const guestModuleFiles = ["drivers/block/virtio_blk.ko"];

function readModule(packages: Packages, path: string): Uint8Array {
  const plain = join(packages.modules, path);
  if (existsSync(plain)) return readFileSync(plain);
  if (!existsSync(`${plain}.xz`))
    throw new LabMissing(`${plain}(.xz) is not in the kernel package`);
  const done = Bun.spawnSync([packages.busybox, "xzcat", `${plain}.xz`]);
  if (done.exitCode !== 0) throw new LabMissing(`${plain}.xz cannot be unpacked`);
  return done.stdout;
}

function base(packages: Packages, init: string): Cpio {
  const archive = new Cpio();
  for (const path of ["proc", "sys", "dev", "tmp"]) archive.directory(path);
  archive.characterDevice("dev/console", 5, 1);
  archive.characterDevice("dev/null", 1, 3);
  archive.file("bin/busybox", readFileSync(packages.busybox));
  archive.file("init", readFileSync(join(import.meta.dir, init)));
  return archive;
}

/** Shared objects of a program, the loader included, as this machine resolves them. */
function sharedObjects(program: string): readonly string[] {
  const done = Bun.spawnSync(["ldd", program], { env: { LC_ALL: "C" } });
  if (done.exitCode !== 0) return [];
  const found = [...done.stdout.toString().matchAll(/(\/\S+) \(0x/g)].map(
    (match) => match[1] ?? "",
  );
  // The data plane is loaded at run time and needs no more than these.
  return [...new Set(found)];
}

function addProgram(archive: Cpio, folder: string, program: string): void {
  archive.file(join(folder, basename(program)), readFileSync(program));
  for (const object of sharedObjects(program)) {
    archive.file(object.slice(1), readFileSync(object));
  }
}

function write(name: string, archive: Cpio): string {
  mkdirSync(lab, { recursive: true });
  const path = join(lab, name);
  writeFileSync(path, Buffer.concat(archive.pieces()));
  return path;
}

export function guestArchive(packages: Packages): string {
  const archive = base(packages, "guest-init.sh");
  for (const path of guestModuleFiles) {
    archive.file(join("modules", basename(path)), readModule(packages, path));
  }
  return write("guest.cpio", archive);
}

/**
 * @param programs giantvm, and what else is to run there.
 * @param disk an image for the guest of scenarios that have a disk.
 */
export function hostArchive(
  packages: Packages,
  programs: readonly string[],
  disk: Uint8Array,
): string {
  const archive = base(packages, "host-init.sh");
  for (const path of moduleFiles) {
    archive.file(join("modules", basename(path)), readModule(packages, path));
  }
  for (const program of programs) addProgram(archive, "bin", program);
  // Apart from busybox's programs, one of which has the same name and no netem.
  addProgram(archive, "sbin", packages.tc);
  archive.file(diskPath.slice(1), disk);
  archive.file("images/vmlinuz", readFileSync(packages.vmlinuz));
  archive.file("images/guest.cpio", readFileSync(guestArchive(packages)));
  return write("host.cpio", archive);
}
