/** @module Debian's kernel with a virtio disk that holds an ext4 file system. */

import { diskGreeting, diskKept, diskSectors } from "../disk.ts";
import { linuxNodes, linuxSeconds } from "./linux.ts";
import { bridge, clock, cpus, dmesg } from "./questions.ts";
import { type Asked, cpusOf, type Question, type Scenario } from "./types.ts";

const seen: Question = {
  command: "cat /sys/block/vda/size /sys/block/vda/serial; grep virtio0-req /proc/interrupts",
  answer: new RegExp(`^${diskSectors}\\s+giantvm-disk-0[^]*PCI-MSIX.*virtio0-req`),
  meaning: "the guest sees its disk, which interrupts by MSI-X",
  again: true,
};

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

/** Each CPU writes a file; the last, of another host where there is one, reads all of them anew. */
const written: Asked = (nodes) => {
  const count = cpusOf(nodes);
  const each = Array.from({ length: count }, (_, cpu) => {
    const mask = (1 << cpu).toString(16);
    return `taskset ${mask} dd if=/dev/urandom of=/mnt/noise${cpu} bs=64k count=8 2>/dev/null;`;
  });
  const last = (1 << (count - 1)).toString(16);
  return {
    command:
      `${each.join(" ")} sync; sha256sum /mnt/noise* >/tmp/sums; ` +
      `echo 3 >/proc/sys/vm/drop_caches; taskset ${last} sha256sum -c /tmp/sums`,
    answer: new RegExp(`^(?![^]*FAILED)(?:[^]*: OK){${count}}`),
    meaning: "what each CPU has written comes back from the disk",
    again: true,
  };
};

const kept: Question = {
  command: `echo "${diskKept}" >/mnt/kept && umount /mnt && echo unmounted`,
  answer: /^unmounted$/m,
  meaning: "a file is left there and the file system unmounted",
  again: true,
};

function disk(name: string, where: string, nodeCpus: readonly number[]): Scenario {
  return {
    name,
    title: `Debian's kernel with an ext4 disk ${where}`,
    guest: "linux",
    network: undefined,
    nodes: linuxNodes(nodeCpus),
    disk: true,
    append: undefined,
    questions: [cpus, clock, bridge, seen, mounted, runs, written, kept, dmesg],
    reboots: 1,
    ...linuxSeconds(nodeCpus.length),
  };
}

export const disks: readonly Scenario[] = [
  disk("disk", "on one host, 2 vCPUs", [2]),
  disk("disk-pair", "over two hosts, 1 vCPU each", [1, 1]),
];
