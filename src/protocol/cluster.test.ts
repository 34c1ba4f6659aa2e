/** @module Moments of a cluster's life that random runs seldom meet. */

import { expect, test } from "bun:test";
import { Cluster, type Event } from "./cluster.ts";
import { type Hello, protocolVersion } from "./messages.ts";

function hello(node: number): Hello {
  return {
    kind: "hello",
    protocol: protocolVersion,
    build: "b",
    epoch: 1,
    order: "h0:1,h1:1,h2:1",
    cpus: 1,
    ramPages: 1,
    dataPort: 1 + node,
    vmIdU64: 1n,
    settings: [],
    facts: { vendor: "v", cpuid: [], tscKhz: 1, physicalAddressBits: 40, xcr0U64: 7n },
    hide: [],
    kernel: false,
    obstacle: "",
  };
}

/** Node 0 of three; returns what it does, by kind. */
function first() {
  const options = { node: 0, names: ["a", "b", "c"], build: "b", epoch: 1 };
  const times = { silenceMs: 1000, joinMs: 60_000 };
  const cluster = new Cluster({ ...options, ...times, cpuidOf: () => [] }, 0n);
  return (event: Event, nowNsU64 = 1n) => cluster.step(event, nowNsU64).map(({ kind }) => kind);
}

function message(from: number, what: Extract<Event, { kind: "message" }>["message"]): Event {
  return { kind: "message", from, message: what };
}

test("a node that was started again has to be ready again", () => {
  const step = first();
  const ready = { kind: "ready", epoch: 1, stage: 1 } as const;
  step({ kind: "opened", hello: hello(0) });
  // Node 1 has heard all others and is configured; this node has not heard node 2.
  step(message(1, hello(1)));
  step(message(1, ready));
  expect(step({ kind: "restarted", from: 1 })).toContain("send");
  step(message(1, hello(1)));
  expect(step(message(2, hello(2)))).toContain("configure");
  step({ kind: "configured" });
  expect(step(message(2, ready))).not.toContain("load");
  expect(step(message(1, ready))).toContain("load");
});

test("nobody is loaded before this node is configured itself", () => {
  const step = first();
  const ready = { kind: "ready", epoch: 1, stage: 1 } as const;
  step({ kind: "opened", hello: hello(0) });
  for (const node of [1, 2]) {
    step(message(node, hello(node)));
    expect(step(message(node, ready))).not.toContain("load");
  }
  expect(step({ kind: "configured" })).toContain("load");
});
