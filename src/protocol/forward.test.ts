/** @module Outcomes of one slow access, and what the table refuses. */

import { expect, test } from "bun:test";
import { type Access, Forwarder, type Place, slowRoutes } from "./forward.ts";

const place: Place = {
  name: "disk",
  space: "mmio",
  firstU64: 0x1000n,
  lastU64: 0x1fffn,
  node: 2,
  answerMs: 10,
};
const read: Access = {
  space: "mmio",
  write: false,
  addressU64: 0x1ffcn,
  size: 4,
  count: 1,
  data: new Uint8Array(),
};
const event = { kind: "access", id: 7, fromNode: 0, vcpu: 3, access: read } as const;
const four = new Uint8Array([1, 2, 3, 4]);
const ones = new Uint8Array(4).fill(0xff);

test("an answer is handed back once; a second one changes nothing", () => {
  const owner = new Forwarder(2, [place]);
  expect(owner.step(event, 0n)).toEqual([
    { kind: "execute", ticket: 1, device: "disk", access: read },
  ]);
  const answered = { kind: "answered", ticket: 1, data: four } as const;
  expect(owner.step(answered, 5n)).toEqual([{ kind: "reply", id: 7, data: four }]);
  expect(owner.step(answered, 6n)).toEqual([]);
  expect(owner.pending).toBe(0);
});

test("a failed device reads as all ones, and is complained about once until it works", () => {
  const owner = new Forwarder(2, [place]);
  const kinds: string[][] = [];
  for (const outcome of ["failed", "failed", "answered", "failed"] as const) {
    const [execute] = owner.step(event, 0n);
    if (execute?.kind !== "execute") throw new Error("not executed");
    const { ticket } = execute;
    const effects = owner.step(
      outcome === "failed"
        ? { kind: outcome, ticket, reason: "no medium" }
        : { kind: outcome, ticket, data: four },
      1n,
    );
    kinds.push(effects.map((effect) => effect.kind));
    const reply = effects.at(-1);
    expect(reply).toEqual({ kind: "reply", id: 7, data: outcome === "failed" ? ones : four });
  }
  expect(kinds).toEqual([["warn", "reply"], ["reply"], ["reply"], ["warn", "reply"]]);
});

test("accesses of one vCPU wait for each other, those of two do not", () => {
  const owner = new Forwarder(2, [place]);
  expect(owner.step(event, 0n).length).toBe(1);
  expect(owner.step({ ...event, id: 8 }, 0n)).toEqual([]);
  expect(owner.step({ ...event, id: 9, vcpu: 4 }, 0n).length).toBe(1);
  const effects = owner.step({ kind: "answered", ticket: 1, data: four }, 1n);
  expect(effects.map((effect) => effect.kind)).toEqual(["reply", "execute"]);
});

test("a device that is late ends the VM with a sentence, and nothing follows", () => {
  const owner = new Forwarder(2, [place]);
  owner.step(event, 0n);
  expect(owner.step({ kind: "tick" }, 9_999_999n)).toEqual([]);
  const answered = { kind: "answered", ticket: 1, data: four } as const;
  expect(owner.step(answered, 10_000_000n)).toEqual([
    {
      kind: "end",
      reason:
        "device disk of node 2 has not answered the read of mmio 1ffc by vCPU 3 of node 0 " +
        "within 10 ms",
    },
  ]);
  expect(owner.step(event, 11_000_000n)).toEqual([]);
});

test("an access that no device takes whole reads as all ones", () => {
  const owner = new Forwarder(2, [place]);
  const across = { ...event, access: { ...read, addressU64: 0x1ffdn } };
  expect(owner.step(across, 0n).map((effect) => effect.kind)).toEqual(["warn", "reply"]);
  expect(owner.step(across, 0n)).toEqual([{ kind: "reply", id: 7, data: ones }]);
  expect(new Forwarder(1, [place]).step(event, 0n).at(-1)).toEqual({
    kind: "reply",
    id: 7,
    data: ones,
  });
});

test("addresses that no device takes are said and remembered up to a bound", () => {
  const owner = new Forwarder(2, [place]);
  const warnings = Array.from({ length: 100 }, (_, index) => {
    const access = { ...read, addressU64: 0x2000n + BigInt(index) };
    return owner.step({ ...event, access }, 0n).filter(({ kind }) => kind === "warn").length;
  });
  expect(warnings).toEqual(Array.from({ length: 100 }, (_, index) => (index < 32 ? 1 : 0)));
});

test("the table refuses overlaps and empty ranges by name", () => {
  const routes = slowRoutes([place], []);
  expect(routes).toEqual([
    { space: "mmio", firstU64: 0x1000n, lastU64: 0x1fffn, node: 2, speed: "slow" },
  ]);
  const other = { ...place, name: "net", firstU64: 0x1fffn, lastU64: 0x2fffn };
  expect(() => slowRoutes([place, other], [])).toThrow("device net: another device answers");
  expect(() => slowRoutes([other], routes)).toThrow("device net");
  expect(slowRoutes([{ ...other, space: "port" }], routes).length).toBe(1);
  expect(() => slowRoutes([{ ...place, lastU64: 0n }], [])).toThrow("device disk: mmio 1000-0");
});
