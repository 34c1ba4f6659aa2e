/** @module The links between emulated hosts, as QEMU is told of them. */

import { expect, test } from "bun:test";
import { links } from "../../scripts/lab/host.ts";

/** The values of `key=` in QEMU's words. */
function valuesOf(key: string, words: readonly string[]): readonly string[] {
  const parts = words.flatMap((word) => word.split(","));
  return parts.filter((part) => part.startsWith(`${key}=`)).map((part) => part.split("=")[1]!);
}

test("each host has a link to each other one, whose ends name each other", () => {
  expect(links({ folder: "/f", node: 0, nodes: 1, mtu: 9000 })).toEqual([]);
  for (const nodes of [2, 3, 8]) {
    const each = Array.from({ length: nodes }, (_, node) => ({ folder: "/f", node, nodes }));
    const all = each.flatMap((host) => links({ ...host, mtu: 9000 }));
    const remote = valuesOf("remote.path", all);
    const ends = new Map(valuesOf("local.path", all).map((path, i) => [path, remote[i]!]));
    expect(ends.size).toBe(nodes * (nodes - 1));
    for (const [here, there] of ends) {
      expect(there).not.toBe(here);
      expect(ends.get(there)).toBe(here);
    }
    expect(new Set(valuesOf("mac", all)).size).toBe(nodes * (nodes - 1));
  }
});
