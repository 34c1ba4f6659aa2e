/**
 * @module The file systems of the lab: one archive for an emulated host (busybox, KVM and network
 * modules, giantvm and the tests' bare engine with the C library they need, the guest's images),
 * one for the Linux guest.
 *
 * Neither is compressed: unpacking under emulation costs more than copying does.
 */

import { existsSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { Cpio } from "./cpio.ts";
import { diskPath, guestInit } from "./disk.ts";
import { LabMissing, type Packages } from "./packages.ts";

/**
 * In the order in which they are loaded, without those that the kernel has built in; the last only
 * where the network is to be bad.
 */
const moduleFiles = [
  "drivers/virtio/virtio_ring.ko",
  "drivers/virtio/virtio.ko",
  "drivers/virtio/virtio_pci_legacy_dev.ko",
  "drivers/virtio/virtio_pci_modern_dev.ko",
  "drivers/virtio/virtio_pci.ko",
  "drivers/char/virtio_console.ko",
  "virt/lib/irqbypass.ko",
  "arch/x86/kvm/kvm.ko",
  "arch/x86/kvm/kvm-amd.ko",
  "net/core/failover.ko",
  "drivers/net/net_failover.ko",
  "drivers/net/virtio_net.ko",
  "net/sched/sch_netem.ko",
];

/** The package lists what is no module of its kernel (kbuild's modules.builtin). */
function isBuiltIn(packages: Packages, path: string): boolean {
  const list = readFileSync(join(packages.modules, "../modules.builtin"), "utf8");
  return list.split("\n").includes(`kernel/${path}`);
}

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

function addProgram(archive: Cpio, folder: string, program: string, known: Set<string>): void {
  archive.file(join(folder, basename(program)), readFileSync(program));
  for (const object of sharedObjects(program)) {
    if (known.has(object)) continue;
    known.add(object);
    archive.file(object.slice(1), readFileSync(object));
  }
}

/**
 * @param programs What the guest has beside busybox: paths on this machine.
 * @param modules Of the hosts' own kernel, in the order in which they are loaded.
 */
export function guestArchive(
  packages: Packages,
  programs: readonly string[] = [],
  modules: readonly string[] = [],
): Buffer {
  const archive = base(packages, guestInit);
  const known = new Set<string>();
  for (const path of modules) {
    archive.file(join("modules", basename(path)), readModule(packages, path));
  }
  for (const program of programs) addProgram(archive, "bin", program, known);
  return Buffer.concat(archive.pieces());
}

export type HostImage = {
  /** giantvm, and what else is to run there: paths on this machine. */
  readonly programs: readonly string[];
  /** What giantvm boots. */
  readonly kernel: string;
  readonly guestPrograms: readonly string[];
  /** A disk of the guest. */
  readonly disk: Uint8Array | undefined;
};

/** All else that a disk needs is built into Debian's cloud kernel. */
const diskModules = ["drivers/block/virtio_blk.ko"];

export function hostArchive(packages: Packages, image: HostImage): Buffer {
  const archive = base(packages, "host-init.sh");
  const known = new Set<string>();
  for (const path of moduleFiles) {
    if (isBuiltIn(packages, path)) continue;
    archive.file(join("modules", basename(path)), readModule(packages, path));
  }
  for (const program of image.programs) addProgram(archive, "bin", program, known);
  // Apart from busybox's programs, one of which has the same name and no netem.
  addProgram(archive, "sbin", packages.tc, known);
  archive.file("images/vmlinuz", readFileSync(image.kernel));
  const modules = image.disk === undefined ? [] : diskModules;
  archive.file("images/guest.cpio", guestArchive(packages, image.guestPrograms, modules));
  if (image.disk !== undefined) archive.file(diskPath.slice(1), image.disk);
  return Buffer.concat(archive.pieces());
}
