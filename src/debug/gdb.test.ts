/** @module The server for gdb, and a VM that ends before a gdb has come. */

import { expect, test } from "bun:test";
import { join } from "node:path";
import { temporaryFolder } from "../../tests/program.ts";
import { exitCode, Failure } from "../cli/failure.ts";
import { ControlClient } from "../control/client.ts";
import { openControl } from "../control/server.ts";
import type { Questions } from "../node/questions.ts";
import { serveGdb } from "./gdb.ts";

test("ends with the VM while no gdb is there", async () => {
  using folder = temporaryFolder();
  const path = join(folder.path, "control");
  const node = openControl(path, {} as Questions)!;
  const control = await ControlClient.open(path);
  const served = serveGdb(control, { host: "127.0.0.1", port: 0 }).catch((error: unknown) => error);
  node.close();
  const failure = await served;
  expect(failure).toBeInstanceOf(Failure);
  expect(failure).toMatchObject({ code: exitCode.lost, message: expect.stringContaining(path) });
});
