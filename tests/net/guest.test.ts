/**
 * @module The built-in guest over nodes on a network that loses, doubles and reorders 5 % of the
 * packets each, has a narrow link and is cut for 200 ms about once a second in every direction:
 * the guest passes, and only what lasts longer than the silence limit ends the VM, on every node.
 */

import { beforeAll, describe, expect, test } from "bun:test";
import { kvmMissing } from "../program.ts";
import { buildProgram } from "../zig.ts";
import { guestProblems, Guests, type NodeEnd } from "./guests.ts";
import { Network, networkMissing, type NetworkOptions, terrible } from "./network.ts";

const reason = kvmMissing() ?? networkMissing();
if (reason !== undefined) console.warn(`SKIPPED: the guest on a terrible network: ${reason}`);

/** Its cuts are the test's: who learns what first would depend on others. */
const steady: NetworkOptions = { ...terrible, cut: "0s" };
/** Long checks, so that the guest is still busy when the test acts. */
const busy = ["--scale", "10000", "--silence", "5000"];
const limit = 110_000;

/** Sentences about lost nodes; a node says one. */
function losses(stderr: string): readonly string[] {
  return stderr.split("\n").filter((line) => line.includes(" was lost: "));
}

/**
 * Whether a node was not heard: a network that makes it so does it each time, a machine that is
 * busy with other tests, and stops a node for as long as that, does not.
 */
function unheard(ends: readonly NodeEnd[]): boolean {
  const silent = /nothing heard for|its engine was silent for/;
  return ends.some(({ stderr }) => losses(stderr).some((line) => silent.test(line)));
}

/** One passage of the guest, with what the network did to it. */
async function passage(nodes: number) {
  await using network = await Network.start(nodes, { ...terrible, seed: 80 + nodes });
  await using guests = new Guests(network, ["--scale", "10"]);
  return { ends: await guests.ends(), totals: await network.end() };
}

describe.skipIf(reason !== undefined)("on a terrible network", () => {
  // Built before, so that no test's time is the compiler's.
  beforeAll(() => void buildProgram("relay"), 300_000);

  for (const nodes of [2, 3]) {
    test(
      `the guest passes over ${nodes} nodes with the usual silence limit`,
      async () => {
        let { ends, totals } = await passage(nodes);
        for (let again = 0; again < 2 && unheard(ends); again += 1) {
          ({ ends, totals } = await passage(nodes));
        }
        expect(guestProblems(ends)).toEqual([]);
        for (const { counters } of ends) {
          expect(counters["retransmissions"]).toBeGreaterThan(20);
          expect(counters["duplicates"]).toBeGreaterThan(20);
          expect(counters["pagesReceived"]).toBeGreaterThan(100);
        }
        for (const fault of ["lost", "doubled", "reordered", "cut off"]) {
          expect({ fault, count: totals[fault] }).not.toEqual({ fault, count: 0 });
        }
        expect(totals["dropped"]).toBe(0);
      },
      3 * limit,
    );
  }

  test(
    "a node cut off for longer than the silence limit ends the VM everywhere",
    async () => {
      await using network = await Network.start(3, { ...steady, seed: 84 });
      await using guests = new Guests(network, busy);
      await guests.running();
      await network.command("cut", network.around(2));
      const [first, second, third] = await guests.ends();
      for (const end of [first!, second!]) {
        expect(losses(end.stderr)).toEqual([
          expect.stringMatching(/node 2 \(10\.77\.0\.3\S*\) was/),
        ]);
        expect(end).toMatchObject({ code: 5, signal: null });
      }
      expect(losses(third!.stderr)).toEqual([expect.stringMatching(/node [01] \(.*\) was lost/)]);
      expect(third).toMatchObject({ code: 5, signal: null });
    },
    limit,
  );

  test(
    "a node that is not heard, but hears, is lost everywhere, too",
    async () => {
      await using network = await Network.start(2, { ...steady, seed: 85 });
      await using guests = new Guests(network, busy);
      await guests.running();
      await network.command("cut", [[1, 0]]);
      for (const end of await guests.ends()) {
        expect(losses(end.stderr)).toEqual([expect.stringMatching(/node 1 \(.*\) was lost/)]);
        expect(end).toMatchObject({ code: 5, signal: null });
      }
    },
    limit,
  );

  test(
    "a node that is killed ends the VM on the survivors",
    async () => {
      await using network = await Network.start(3, { ...steady, seed: 86 });
      await using guests = new Guests(network, busy);
      await guests.running();
      guests.nodes[1]!.process.kill("SIGKILL");
      const [first, second, third] = await guests.ends();
      expect(second!.signal).toBe("SIGKILL");
      for (const end of [first!, third!]) {
        expect(losses(end.stderr)).toEqual([expect.stringMatching(/node 1 \(.*\) was lost/)]);
        expect(end).toMatchObject({ code: 5, signal: null });
      }
    },
    limit,
  );
});
