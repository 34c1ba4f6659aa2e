/** @module What a Linux guest is asked at its shell. */

import type { Question } from "./types.ts";

export function cpus(count: number): Question {
  return {
    command: "nproc",
    answer: new RegExp(`^${count}$`, "m"),
    meaning: `the guest sees ${count} CPU${count > 1 ? "s" : ""}`,
  };
}

/** A shell that counts on one CPU and says so. */
function busyOn(cpu: number): string {
  return (
    `taskset ${(1 << cpu).toString(16)} sh -c 'i=0;while [ $i -lt 2000 ];do i=$((i+1));done;` +
    `echo done $i on ${cpu}' &`
  );
}

/** Work on every CPU at once. */
export function busy(count: number): Question {
  const each = Array.from({ length: count }, (_, cpu) => busyOn(cpu)).join(" ");
  return {
    command: `{ ${each} wait; } | sort | tr '\\n' ' '; echo`,
    answer: new RegExp(Array.from({ length: count }, (_, cpu) => `done 2000 on ${cpu}`).join(".*")),
    meaning: "every CPU runs a program",
  };
}

export const clock: Question = {
  command: "cat /sys/devices/system/clocksource/clocksource0/current_clocksource",
  answer: /^tsc(-early)?$/,
  meaning: "the guest trusts its TSCs",
};

export const bridge: Question = {
  command: "cat /sys/bus/pci/devices/0000:00:00.0/vendor; dmesg | grep -c 'PCI: Fatal'",
  answer: /^0x8086\s+0$/,
  meaning: "the guest has found the PCI host bridge",
};
