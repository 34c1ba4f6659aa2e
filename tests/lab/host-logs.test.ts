/** @module Logs of several hosts, told apart line by line. */

import { expect, test } from "bun:test";
import { HostLogs } from "../../scripts/lab/host-logs.ts";

test("pieces become lines of their host", () => {
  let written = "";
  const logs = new HostLogs((text) => (written += text));
  logs.add(0, "one ");
  logs.add(1, "eins\nzwei");
  logs.add(0, "two\n\nthr");
  expect(written).toBe("[host 1] eins\n[host 0] one two\n[host 0] \n");
  logs.add(0, "ee\n");
  expect(written).toEndWith("[host 0] three\n");
});
