/** @module The words of giantvm debug, and how they are refused. */

import { expect, test } from "bun:test";
import { parseAddress, parseDebug } from "./debug-options.ts";
import { Failure } from "./failure.ts";
import type { Flags } from "./flags.ts";

test("the flag goes before the environment", () => {
  const words = ["memory", "0x1000", "64"];
  const given = parseDebug({ flags: { control: "a" }, words }, "b");
  expect(given).toMatchObject({ verb: "memory", words: ["0x1000", "64"], control: "a" });
  expect(parseDebug({ flags: {}, words: ["counters"] }, "b")).toMatchObject({
    control: "b",
    symbols: undefined,
    top: 20,
    listen: { host: "127.0.0.1", port: 1234 },
  });
  expect(parseDebug({ flags: { top: "5" }, words: ["hot"] }, "b").top).toBe(5);
  expect(parseDebug({ flags: { listen: "127.0.0.2:0" }, words: ["gdb"] }, "b").listen).toEqual({
    host: "127.0.0.2",
    port: 0,
  });
});

test("addresses are hexadecimal behind 0x only", () => {
  expect(parseAddress("page", "0xFEE00000")).toBe(0xfee0_0000n);
  expect(parseAddress("page", "4096")).toBe(4096n);
});

test("what is not understood is refused with what to do", () => {
  const cases: readonly (readonly [readonly string[], Flags, string])[] = [
    [[], {}, 'debug "": give one of registers, '],
    [["constructor"], {}, 'debug "constructor": give one of registers, '],
    [["counters", "1"], {}, "1 words given, 0 wanted"],
    [["page"], {}, "0 words given, 1 wanted"],
    [["memory", "0x0", "1", "2"], {}, "3 words given, 1 or 2 wanted"],
    [["page", "0x0"], { symbols: "s" }, "debug page takes no --symbols"],
    [["hot"], { top: "many" }, "give a number up to"],
    [["gdb"], { listen: "0.0.0.0:1234" }, "an address of the loopback"],
    [["gdb"], { listen: "70000" }, "give a number up to 65535"],
  ];
  for (const [words, flags, sentence] of cases) {
    expect(() => parseDebug({ flags, words }, "c")).toThrow(Failure);
    expect(() => parseDebug({ flags, words }, "c")).toThrow(sentence);
  }
  const nowhere = { flags: {}, words: ["counters"] };
  expect(() => parseDebug(nowhere, undefined)).toThrow("name the socket of a node");
  expect(() => parseAddress("page", "1000h")).toThrow("give an address like 0x100000");
});
