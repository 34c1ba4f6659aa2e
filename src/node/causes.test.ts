/** @module Each event that ends the VM: exit code and sentence. */

import { expect, test } from "bun:test";
import { type Cause, causeOf, type LastEvent } from "./causes.ts";

const cases: readonly (readonly [LastEvent, Cause])[] = [
  [
    { kind: "poweroff" },
    { kind: "end", cause: "poweroff", code: 0, reason: "the guest powered off" },
  ],
  [
    { kind: "reset" },
    { kind: "end", cause: "reset", code: 0, reason: "the guest reset the machine" },
  ],
  [
    { kind: "debug-exit", code: 0 },
    { kind: "end", cause: "verdict", code: 0, reason: "the guest ended with 0" },
  ],
  [
    { kind: "debug-exit", code: 41 },
    { kind: "end", cause: "verdict", code: 1, reason: "the guest ended with 41" },
  ],
  [
    { kind: "crash", vcpu: 5, reason: "triple fault" },
    { kind: "end", cause: "crash", code: 6, reason: "vCPU 5 on node 2: triple fault" },
  ],
  [
    { kind: "engine-error", reason: "no memory" },
    { kind: "end", cause: "failed", code: 7, reason: "the memory engine stopped: no memory" },
  ],
  [
    { kind: "peer-refused", node: 1, answered: true },
    { kind: "lost", node: 1, how: "its port is closed" },
  ],
  [
    { kind: "peer-refused", node: 1, answered: false },
    {
      kind: "lost",
      node: 1,
      how:
        "its data port is refused, by a filter if giantvm runs there: let all UDP between the " +
        "nodes pass and not only the port of --peers",
    },
  ],
  [
    { kind: "peer-silent", node: 1, silentMs: 2000 },
    { kind: "lost", node: 1, how: "its engine was silent for 2000 ms" },
  ],
  [
    { kind: "peer-silent", node: 0, silentMs: 0 },
    {
      kind: "unheard",
      node: 0,
      how:
        "its engine was never heard, let all UDP between the nodes pass and not only the port " +
        "of --peers",
    },
  ],
];

test.each(cases)("%o", (event, cause) => {
  expect(causeOf(event, 2)).toEqual(cause);
});
