/**
 * @module The console on a pseudo-terminal: raw while the VM runs, and as it was afterwards,
 * whatever ended it; and what happens when nobody reads it, or something of the program breaks.
 */

import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { loopback, patient, startNodes } from "../nodes.ts";
import { executable, kvmMissing, start } from "../program.ts";
import { onTerminal } from "../terminal.ts";

const missing = kvmMissing();
if (missing !== undefined) console.warn(`SKIPPED: the console on a terminal: ${missing}`);

/** ICANON and ECHO of c_lflag (asm-generic/termbits.h). */
const cooked = 0x02 | 0x08;

/** Long checks: the guest is still busy when the test acts. */
const node = [executable, "run", "--local-memory", "64M", "--scale", "10000"];

describe.skipIf(missing !== undefined)("the terminal", () => {
  const endings = [
    {
      name: "Ctrl-A x",
      code: 0,
      by: (it: ReturnType<typeof onTerminal>) => it.terminal.write("\x01x"),
    },
    ...(
      [
        ["SIGHUP", 129],
        ["SIGINT", 130],
        ["SIGQUIT", 131],
        ["SIGTERM", 143],
      ] as const
    ).map(([signal, code]) => ({
      name: signal,
      code,
      by: (it: ReturnType<typeof onTerminal>) => it.child.kill(signal),
    })),
  ];
  for (const { name, code, by } of endings) {
    test(`is raw while the VM runs and as before after ${name}`, async () => {
      await using it = onTerminal(node);
      expect(it.before & cooked).toBe(cooked);
      await it.printed("check start");
      expect(it.terminal.localFlags & cooked).toBe(0);
      by(it);
      await it.child.exited;
      expect(it.terminal.localFlags).toBe(it.before);
      expect({ code: it.child.exitCode, signal: it.child.signalCode }).toEqual({
        code,
        signal: null,
      });
    });
  }

  test("takes Ctrl-C as a key of the guest", async () => {
    await using it = onTerminal(node);
    await it.printed("check start");
    it.terminal.write("\x03");
    it.terminal.write("\x01h");
    await it.printed("end the VM on all nodes");
    it.terminal.write("\x01c");
    await it.printed('"exits":');
    await it.printed('"controlMalformed":0');
    await it.printed("vCPU 0 ");
    await it.printed("rip=");
    await it.printed("efer=");
    expect(it.child.exitCode).toBeNull();
    it.terminal.write("\x01x");
    await it.child.exited;
    expect(it.child.exitCode).toBe(0);
  });

  test("takes Ctrl-C as the end while there is no guest yet", async () => {
    const peers = await loopback(2);
    const words = ["run", "--peers", peers.join(","), "--self", peers[0]!];
    await using it = onTerminal([executable, ...words]);
    // Before it is raw, Ctrl-C is a signal.
    while ((it.terminal.localFlags & cooked) !== 0) await Bun.sleep(2);
    it.terminal.write("\x03");
    await it.child.exited;
    expect([it.child.exitCode, it.child.signalCode]).toEqual([130, null]);
    expect(it.terminal.localFlags).toBe(it.before);
  });

  test("is read on when the guest takes no keys, so that Ctrl-A x ends the VM", async () => {
    await using it = onTerminal(node);
    await it.printed("check start");
    it.terminal.write(`${"k".repeat(100 * 1024)}\x01x`);
    await it.child.exited;
    expect([it.child.exitCode, it.child.signalCode]).toEqual([0, null]);
  });

  test("is as before after the program itself broke", async () => {
    await using it = onTerminal([...node, "--fault", "throw"]);
    await it.printed("internal error: told to fail");
    await it.child.exited;
    expect(it.child.exitCode).toBe(7);
    expect(it.terminal.localFlags).toBe(it.before);
  });

  test("is as before after a failed assertion of the data plane, a reset before it", async () => {
    await using it = onTerminal([process.execPath, join(import.meta.dir, "panic.ts")]);
    await it.printed("now raw");
    expect(it.terminal.localFlags & cooked).toBe(0);
    it.terminal.write("x");
    await it.printed("giantvm: internal error in the data plane");
    await it.child.exited;
    expect(it.terminal.localFlags).toBe(it.before);
    expect(it.child.signalCode).toBe("SIGABRT");
  });
});

async function pair(own: (node: number) => readonly string[], under: readonly string[] = []) {
  const common = ["-v", "--scale", "10000", ...patient];
  return startNodes(await loopback(2), (index) => [...common, ...own(index)], { under });
}

describe.skipIf(missing !== undefined)("the end on both of two nodes", () => {
  for (const fault of ["throw", "reject"]) {
    test(`an error nobody caught (${fault}) is told to the other node`, async () => {
      const nodes = await pair((index) => (index === 1 ? ["--fault", fault] : []));
      for (const { finished } of nodes) {
        const { code, signal, stderr } = await finished;
        expect({ code, signal }).toEqual({ code: 7, signal: null });
        expect(stderr).toContain("node 1: internal error: told to fail");
      }
    });
  }

  test("SIGHUP on one node", async () => {
    const nodes = await pair(() => []);
    await nodes[0]!.logged("the VM runs");
    nodes[0]!.process.kill("SIGHUP");
    for (const { finished } of nodes) {
      const { code, signal, stderr } = await finished;
      expect({ code, signal }).toEqual({ code: 129, signal: null });
      expect(stderr).toContain("stopped by SIGHUP");
    }
  });

  test("nobody reads the console any more", async () => {
    const reader = '{ "$0" "$@"; echo "ended with $?" >&2; } | head -n 1';
    const nodes = await pair(() => [], ["sh", "-c", reader]);
    for (const { finished } of nodes) {
      const { stderr } = await finished;
      expect(stderr).toContain("nobody reads the console any more");
      expect(stderr).not.toContain("EPIPE");
      expect(stderr).toEndWith("ended with 141\n");
    }
  });
});

test.skipIf(missing !== undefined)(
  "SIGHUP ignored at the start (nohup) stays ignored",
  async () => {
    const quiet = start(["run", "-v", "--scale", "10000"], {
      under: ["sh", "-c", 'trap "" HUP; exec "$0" "$@"'],
    });
    await quiet.logged("the VM runs");
    quiet.process.kill("SIGHUP");
    quiet.process.kill("SIGTERM");
    const { code, stderr } = await quiet.finished;
    expect(code).toBe(143);
    expect(stderr).toContain("stopped by SIGTERM");
  },
);
