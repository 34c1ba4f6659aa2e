/** @module Output to a slow standard output: whole, in order, and waited for at the end. */

import { expect, test } from "bun:test";
import { ConsoleWriter } from "./console.ts";

/** A reader that takes nothing until it is told to. */
function slow() {
  const taken: Uint8Array[] = [];
  let done: ((error?: Error) => void) | undefined;
  let ready = 0;
  const writer = new ConsoleWriter((bytes, then) => {
    expect(done).toBeUndefined();
    taken.push(bytes);
    done = then;
  });
  writer.onReady = () => void (ready += 1);
  const read = (error?: Error) => {
    const then = done;
    done = undefined;
    then?.(error);
    return then !== undefined;
  };
  return { writer, read, text: () => Buffer.concat(taken).toString(), ready: () => ready };
}

const never = new Promise<void>(() => {});

test("what is written at once asks nobody to wait, and nobody waits for it", async () => {
  const taken: Uint8Array[] = [];
  const writer = new ConsoleWriter((bytes, done) => {
    taken.push(bytes);
    done(null);
  });
  writer.onReady = () => expect.unreachable();
  for (let i = 0; i < 100; i += 1) expect(writer.write(new Uint8Array(10_000).fill(i))).toBe(true);
  expect(Buffer.concat(taken).length).toBe(1_000_000);
  expect(Buffer.concat(taken)[999_999]).toBe(99);
  expect(await writer.flush(never)).toBe(0);
});

test("a slow reader stops the guest, gets every byte in order, and lets it go on", async () => {
  const { writer, read, text, ready } = slow();
  let printed = "";
  for (let i = 0, more = true; more; i += 1) {
    const line = `${i}\n`.repeat(100);
    printed += line;
    more = writer.write(Buffer.from(line));
  }
  expect(printed.length).toBeLessThan(80_000);
  // What was on its way already is taken all the same.
  expect(writer.write(Buffer.from("last"))).toBe(false);
  const flushed = writer.flush(never);
  expect(ready()).toBe(0);
  while (read());
  expect(ready()).toBe(1);
  expect(text()).toBe(`${printed}last`);
  expect(await flushed).toBe(0);
  expect(writer.write(Buffer.from("more"))).toBe(true);
});

test("in a hurry only a reader that reads is waited for", async () => {
  const { writer } = slow();
  writer.write(new Uint8Array(5000));
  expect(await writer.flush(Promise.resolve())).toBe(5000);
});

test("nobody waits for a reader that has gone", async () => {
  const { writer, read, ready } = slow();
  expect(writer.write(new Uint8Array(100_000))).toBe(false);
  read(new Error("EPIPE"));
  expect(ready()).toBe(1);
  expect(writer.write(new Uint8Array(100_000))).toBe(true);
  expect(await writer.flush(never)).toBe(0);
});
