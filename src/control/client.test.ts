/** @module What asks a node gets an answer, or a sentence why there is none. */

import { expect, test } from "bun:test";
import { join } from "node:path";
import { temporaryFolder } from "../../tests/program.ts";
import { ControlClient } from "./client.ts";

/** A node at a socket that answers as `answer` says; undefined: not at all. */
function listen(answer: (line: string) => string | undefined) {
  const folder = temporaryFolder();
  const path = join(folder.path, "control");
  const server = Bun.listen({
    unix: path,
    socket: {
      data(socket, bytes) {
        const line = answer(bytes.toString());
        if (line !== undefined) socket.write(`${line}\n`);
      },
    },
  });
  const dispose = () => {
    server.stop(true);
    folder[Symbol.dispose]();
  };
  return { path, [Symbol.dispose]: dispose };
}

test("an answer comes to its question", async () => {
  using node = listen((line) => `{"id":${(JSON.parse(line) as { id: number }).id},"answers":[]}`);
  const client = await ControlClient.open(node.path);
  expect(await client.ask({ ask: "counters" })).toEqual([]);
  client.close();
});

test("a node that stands still is told", async () => {
  using node = listen(() => undefined);
  const client = await ControlClient.open(node.path, 10);
  await expect(client.ask({ ask: "counters" })).rejects.toMatchObject({
    code: 4,
    message:
      `the node behind ${node.path} has not answered within 0.01 s: ` +
      "it is stopped, or its host is too busy",
  });
  client.close();
});

test("a path where no node is", async () => {
  const asked = ControlClient.open("/no/such/socket");
  await expect(asked).rejects.toThrow("--control /no/such/socket: no node listens there");
});
