/** @module Debian's kernel with a virtio disk that holds an ext4 file system. */

import { diskGreeting, diskKept, diskSectors } from "../disk.ts";
import type { Question, Scenario } from "./types.ts";

const seen: Question = {
  command: "cat /sys/block/vda/size /sys/block/vda/serial; grep virtio0-req /proc/interrupts",
  answer: new RegExp(`^${diskSectors}\\s+giantvm-disk-0[^]*PCI-MSIX.*virtio0-req`),
  meaning: "the guest sees its disk, which interrupts by MSI-X",
};

const mounted: Question = {
  command: "mkdir -p /mnt; mount -t ext4 /dev/vda /mnt && cat /mnt/greeting",
  answer: new RegExp(`^${diskGreeting}$`, "m"),
  meaning: "it mounts the ext4 file system and reads a file",
};

const runs: Question = {
  command: "chroot /mnt /bin/busybox echo runs from the disk",
  answer: /^runs from the disk$/m,
  meaning: "it runs a program from the disk",
};

/** Each CPU writes a file; the last, of another host where there is one, reads all of them anew. */
function written(count: number): Question {
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
  };
}

const kept: Question = {
  command: `echo "${diskKept}" >/mnt/kept && umount /mnt && echo unmounted`,
  answer: /^unmounted$/m,
  meaning: "a file is left there and the file system unmounted",
};

function disk(name: string, where: string, nodeCpus: readonly number[]): Scenario {
  const count = nodeCpus.reduce((sum, cpus) => sum + cpus, 0);
  const hosts = nodeCpus.length;
  return {
    name,
    title: `Debian's kernel with an ext4 disk ${where}`,
    guest: "linux",
    network: undefined,
    nodes: nodeCpus.map((cpus) => ({ cpus, memory: `${256 / hosts}M` })),
    append: undefined,
    disk: true,
    questions: [seen, mounted, runs, written(count), kept],
    bootSeconds: hosts === 1 ? 120 : 480,
    answerSeconds: hosts === 1 ? 60 : 240,
  };
}

export const disks: readonly Scenario[] = [
  disk("disk", "on one host, 2 vCPUs", [2]),
  disk("disk-pair", "over two hosts, 1 vCPU each", [1, 1]),
];
