/** @module Ports for nodes of one host: free, different, and another process's are others. */

import { expect, test } from "bun:test";
import { freePorts } from "./ports.ts";

test("ports differ, and are none that Linux gives to who asks for any", async () => {
  const ports = await freePorts(64);
  expect(new Set(ports).size).toBe(64);
  for (const port of ports) expect(port).toBeLessThan(32_768);
});

test("ports that are taken are left out", async () => {
  const held = await Promise.all(
    (await freePorts(64)).map((port) => Bun.udpSocket({ hostname: "127.0.0.1", port })),
  );
  try {
    // All of this process: those of the next one are given.
    const others = await freePorts(2);
    for (const { port } of held) expect(others).not.toContain(port);
  } finally {
    for (const each of held) each.close();
  }
});

test("another process gets others, though all are free for both", async () => {
  const script = `import { freePorts } from "${import.meta.dir}/ports.ts";
    console.log(JSON.stringify(await freePorts(32)));`;
  const children = [1, 2].map(() => Bun.spawn([process.execPath, "-e", script]));
  const [one, two] = await Promise.all(
    children.map((each) => new Response(each.stdout).json() as Promise<number[]>),
  );
  expect(new Set([...one!, ...two!]).size).toBe(64);
});
