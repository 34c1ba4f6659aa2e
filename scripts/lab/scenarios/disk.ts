/** @module Debian's kernel with a virtio disk that holds an ext4 file system. */

import { diskGreeting, diskKept, diskSectors } from "../disk.ts";
import { linuxNodes, linuxSeconds } from "./linux.ts";
import { bridge, clock, cpus, dmesg, onEachCpu } from "./questions.ts";
import { type Asked, cpusOf, maskOf, type Question, type Scenario } from "./types.ts";

/** @param by How the guest's kernel names it in the line of that interrupt. */
function seenBy(by: string, meaning: string): Question {
  return {
    command: "cat /sys/block/vda/size /sys/block/vda/serial; grep virtio0 /proc/interrupts",
    answer: new RegExp(`^${diskSectors}\\s+giantvm-disk-0[^]*${by}.*virtio0`),
    meaning: `the guest sees its disk, which interrupts by ${meaning}`,
    again: true,
  };
}

const seen = seenBy("PCI-MSIX", "MSI-X");
const seenByLine = seenBy("IO-APIC +\\d+-fasteoi", "a level-triggered line");

const mounted: Question = {
  command: "mkdir -p /mnt; mount -t ext4 /dev/vda /mnt && cat /mnt/greeting",
  answer: new RegExp(`^${diskGreeting}$`, "m"),
  meaning: "it mounts the ext4 file system and reads a file",
  again: true,
};

const runs: Question = {
  command: "chroot /mnt /bin/busybox echo runs from the disk",
  answer: /^runs from the disk$/m,
  meaning: "it runs a program from the disk",
  again: true,
};

/** init.sh went on from the disk: what runs there, the shell and each program, is read from it. */
const root: Question = {
  command: "grep ' / ' /proc/mounts; cat /greeting; ls -d /modules",
  answer: new RegExp(`^/dev/(vda|root) / ext4 rw[^]*^${diskGreeting}$(?![^]*^/modules)`, "m"),
  meaning: "its root is the ext4 file system of the disk",
  again: true,
};

/**
 * Each CPU writes a file; the last, of another host where there is one, reads all of them anew.
 * @param at Where the file system is; "" for the root.
 */
function written(at: string): Asked {
  return (nodes) => {
    const count = cpusOf(nodes);
    const noise = `dd if=/dev/urandom of=${at}/noise$c bs=64k count=8 2>/dev/null;`;
    const last = maskOf(count - 1);
    return {
      command:
        `${onEachCpu(nodes, noise)}; sync; sha256sum ${at}/noise* >/tmp/sums; ` +
        `echo 3 >/proc/sys/vm/drop_caches; taskset ${last} sha256sum -c /tmp/sums`,
      answer: new RegExp(`^(?![^]*FAILED)(?:[^]*: OK){${count}}`),
      meaning: "what each CPU has written comes back from the disk",
      again: true,
    };
  };
}

const kept: Question = {
  command: `echo "${diskKept}" >/mnt/kept && umount /mnt && echo unmounted`,
  answer: /^unmounted$/m,
  meaning: "a file is left there and the file system unmounted",
  again: true,
};

/** A root cannot be unmounted by what runs from it. */
const keptOnRoot: Question = {
  command: `echo "${diskKept}" >/kept && mount -o remount,ro / && grep ' / ' /proc/mounts`,
  answer: /^\/dev\/(vda|root) \/ ext4 ro/m,
  meaning: "a file is left there and the file system read-only",
  again: true,
};

/** The guest resets by the 8042 in place of what ACPI names. */
const byKeyboard = "reboot=k";

const resets: Question = {
  command: "cat /sys/kernel/reboot/type",
  answer: /^kbd$/,
  meaning: "its kernel is to restart by the keyboard controller",
};

const onMount: readonly Asked[] = [mounted, runs, written("/mnt"), kept];
const onRoot: readonly Asked[] = [seen, root, written(""), keptOnRoot];

function disk(name: string, where: string, nodeCpus: readonly number[]): Scenario {
  return {
    name,
    title: `Debian's kernel with an ext4 disk ${where}`,
    guest: "linux",
    network: undefined,
    nodes: linuxNodes(nodeCpus),
    disk: true,
    append: undefined,
    questions: [cpus, clock, bridge, seen, ...onMount, dmesg],
    reboots: 1,
    ...linuxSeconds(nodeCpus.length),
  };
}

function diskRoot(name: string, where: string, nodeCpus: readonly number[]): Scenario {
  return {
    ...disk(name, where, nodeCpus),
    title: `Debian's kernel with its root on an ext4 disk ${where}`,
    append: "root=/dev/vda",
    questions: [cpus, clock, ...onRoot, dmesg],
  };
}

export const disks: readonly Scenario[] = [
  {
    ...disk("disk", "on one host, 2 vCPUs", [2]),
    append: byKeyboard,
    questions: [cpus, resets, clock, bridge, seen, ...onMount, dmesg],
  },
  {
    ...disk("disk-line", "that has no MSI-X, on one host, 2 vCPUs", [2]),
    append: "pci=nomsi",
    questions: [cpus, clock, bridge, seenByLine, ...onMount, dmesg],
  },
  disk("disk-pair", "over two hosts, 1 vCPU each", [1, 1]),
  diskRoot("root", "on one host, 2 vCPUs", [2]),
  diskRoot("root-pair", "over two hosts, 1 vCPU each", [1, 1]),
];
