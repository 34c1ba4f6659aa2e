/** @module A terminal, or a pipe, as the console of the lab's guest. */

import { expect, test } from "bun:test";
import { PassThrough } from "node:stream";
import { consoleSession } from "../../scripts/lab/session.ts";

type Typed = { readonly typed: string[]; readonly raw: boolean[]; readonly said: string[] };

/** A session on streams of the test; `isTTY` as a terminal would have it. */
function onStreams(isTTY: boolean, rows = 50, columns = 120) {
  const seen: Typed = { typed: [], raw: [], said: [] };
  const input = new PassThrough();
  const stdin = Object.assign(input, {
    isTTY,
    setRawMode: (mode: boolean) => {
      seen.raw.push(mode);
      return stdin;
    },
  }) as unknown as Parameters<typeof consoleSession>[0];
  const output = new PassThrough();
  const stdout = Object.assign(output, { rows, columns }) as unknown as NodeJS.WriteStream;
  const opened = consoleSession(stdin, stdout, (line) => seen.said.push(line));
  const type = (bytes: Uint8Array | string) =>
    seen.typed.push(typeof bytes === "string" ? bytes : new TextDecoder().decode(bytes));
  return { ...opened, ...seen, input, output, type };
}

test("a terminal is raw while the guest has it, and the guest is told its size", async () => {
  const { session, close, input, output, type, typed, raw, said } = onStreams(true);
  expect(raw).toEqual([]);
  session.attach(type);
  const seen = new Promise((resolve) => input.once("data", resolve));
  input.write("nproc\x03");
  await seen;
  session.output(new TextEncoder().encode("2\r\n"));
  expect(output.read().toString()).toBe("2\r\n");
  expect(typed).toEqual(["stty sane rows 50 cols 120\n", "nproc\x03"]);
  expect(said[0]).toContain("Ctrl-A x");
  close();
  expect(raw).toEqual([true, false]);
  input.write("late");
  expect(typed.length).toBe(2);
});

test("a terminal that does not know its size gets the usual one", () => {
  const { session, close, type, typed } = onStreams(true, 0, 0);
  session.attach(type);
  expect(typed).toEqual(["stty sane rows 24 cols 80\n"]);
  close();
});

test("a pipe's end ends the guest's shell", async () => {
  const { session, close, input, type, typed, raw } = onStreams(false);
  input.end("nproc\n");
  session.attach(type);
  await new Promise((resolve) => input.once("end", resolve));
  expect(typed).toEqual(["nproc\n", "\x04"]);
  close();
  expect(raw).toEqual([]);
});
