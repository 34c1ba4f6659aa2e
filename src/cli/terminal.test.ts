/** @module Keys of the console: what the guest gets and what is meant for giantvm. */

import { expect, test } from "bun:test";
import { KeyReader } from "./terminal.ts";

function typed(...parts: readonly string[]) {
  const keys = new KeyReader();
  return parts
    .flatMap((part) => keys.read(new TextEncoder().encode(part)))
    .map((action) =>
      action.kind === "bytes" ? new TextDecoder().decode(action.bytes) : { kind: action.kind },
    );
}

test("everything goes to the guest, Ctrl-C too", () => {
  expect(typed("ls\r\x03")).toEqual(["ls\r\x03"]);
});

test("Ctrl-A x ends, h helps, c shows counters, p is the power button, a sends itself", () => {
  expect(typed("\x01p")).toEqual([{ kind: "power" }]);
  expect(typed("a\x01xb")).toEqual(["a", { kind: "quit" }, "b"]);
  expect(typed("\x01h\x01c")).toEqual([{ kind: "help" }, { kind: "status" }]);
  expect(typed("\x01a\x01\x01")).toEqual(["\x01\x01"]);
  expect(typed("\x01z")).toEqual(["\x01z"]);
});

test("a prefix at the end of one read counts for the next", () => {
  expect(typed("a\x01", "x")).toEqual(["a", { kind: "quit" }]);
});
