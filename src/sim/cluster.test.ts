/** @module Seeds of the cluster simulator: every life begins together and ends together. */

import { describe, expect, test } from "bun:test";
import { protocolVersion } from "../protocol/messages.ts";
import { ClusterSim } from "./cluster.ts";
import type { NodeLog, Plan } from "./node.ts";

const usual: Omit<Plan, "seed"> = {
  nodes: 2,
  lossPercent: 0,
  silenceMs: 1500,
  joinMs: 60_000,
  startMs: 200,
  stopMs: 10,
  blockMs: 0,
  trouble: "none",
  ending: "poweroff",
};

function seeded(seed: number, changes: Partial<Plan>): Plan {
  const nodes = 2 + (seed % 4);
  return { ...usual, seed, nodes, lossPercent: (seed * 7) % 21, ...changes };
}

/** Runs a plan; the logs of the nodes that live to the end. */
function lived(plan: Plan) {
  const sim = new ClusterSim(plan);
  const logs = sim.run(150_000);
  const living = logs.flatMap((log, place): readonly (NodeLog & { place: number })[] =>
    log !== undefined && sim.nodes[place]?.alive === true ? [{ ...log, place }] : [],
  );
  const dead = sim.nodes.findIndex((node) => node?.alive !== true);
  return { sim, living, dead };
}

function seeds(name: string, changes: Partial<Plan>, check: (plan: Plan) => void, count = 24) {
  test(name, () => {
    for (let seed = 0; seed < count; seed += 1) check(seeded(seed, changes));
  });
}

/** All nodes were started, ran `times` times, and ended alike. */
function together(times: number, code: number, reason: string | RegExp) {
  return (plan: Plan) => {
    const { living } = lived(plan);
    expect(living.length).toBe(plan.nodes);
    for (const log of living) {
      const { seed } = plan;
      expect({ seed, ran: log.ran, code: log.finished?.code }).toEqual({ seed, ran: times, code });
      expect(log.finished?.reason).toMatch(reason);
    }
  };
}

/** Nobody ran, everybody was told. */
function refused(code: number, reason: RegExp) {
  return (plan: Plan) => {
    const { living } = lived(plan);
    expect(living.length).toBe(plan.trouble === "absent" ? plan.nodes - 1 : plan.nodes);
    for (const log of living) {
      const { place, configured, finished } = log;
      // The last node of an unknown protocol reads this one's; that it was told is enough.
      const odd = plan.trouble === "protocol" && place === plan.nodes - 1;
      if (!odd) expect([plan.seed, place, configured]).toEqual([plan.seed, place, 0]);
      expect({ place, code: finished?.code }).toEqual({ place, code });
      expect(finished?.reason).toMatch(reason);
    }
  };
}

/** The survivors of one that died name it. */
function lost(plan: Plan): void {
  const { living, dead } = lived(plan);
  expect(living.length).toBe(plan.nodes - 1);
  for (const log of living) {
    expect(log.finished?.code).toBe(5);
    expect(log.finished?.reason).toContain(`node ${dead} (n${dead}) was lost: nothing heard for`);
  }
}

describe("cluster over bad networks", () => {
  seeds("power-off ends all nodes", {}, together(1, 0, /^off$/));
  seeds("a reset is a second life", { ending: "reset" }, together(2, 0, /^off$/), 96);
  seeds(
    "a data plane that takes its time is waited for",
    { ending: "reset", silenceMs: 500, blockMs: 450, lossPercent: 2 },
    together(2, 0, /^off$/),
  );
  seeds("of two ends at once all nodes take the same", { ending: "twice" }, (plan) => {
    const codes = lived(plan).living.map((log) => log.finished?.code);
    expect([plan.seed, ...codes]).toEqual([plan.seed, ...codes.map(() => 143)]);
  });
  seeds("a node that dies is named by all others", { ending: "kill" }, lost);
  seeds("a cut shorter than the silence is survived", { ending: "blip", lossPercent: 2 }, (plan) =>
    together(1, 0, /^off$/)(plan),
  );
  seeds("a cut longer than that ends both sides", { ending: "cut" }, (plan) =>
    together(1, 5, /^node \d \(n\d\) was lost: nothing heard for 1500 ms/)(plan),
  );

  test("a seed replays exactly", () => {
    const [first, second] = [12, 12].map((seed) => {
      const { sim, living } = lived(seeded(seed, { ending: "reset" }));
      return { living, steps: sim.steps };
    });
    expect(first).toEqual(second!);
  });
});

describe("nodes that cannot become one machine", () => {
  seeds(
    "another build",
    { trouble: "build" },
    refused(4, /is build (other|same), node \d \(n\d\)/),
  );
  seeds("another order of the peers", { trouble: "order" }, refused(4, /was given --peers h\d/));
  seeds(
    "another setting",
    { trouble: "setting" },
    refused(4, /has --silence \d+, node \d \(n\d\) has/),
  );
  seeds(
    "a host that runs no kernel of several nodes",
    { trouble: "obstacle" },
    refused(4, /\(n\d\) cannot be one of several nodes with the kernel of node 0 \(n0\): nested p/),
  );
  seeds(
    "another protocol",
    { trouble: "protocol" },
    refused(4, new RegExp(`speaks protocol ${protocolVersion + 1} \\(build same\\)`)),
  );
  seeds(
    "datagrams of another version",
    { trouble: "version" },
    refused(4, /of version 9, which node/),
  );
  seeds("a host that lacks something", { trouble: "open" }, refused(3, /no \/dev\/kvm$/));
  seeds(
    "a node that never comes",
    { trouble: "absent", joinMs: 3000 },
    refused(4, /\(n\d\) did not answer within 3 s/),
  );
  seeds(
    "two that never hear each other, beside others that hear all",
    { trouble: "apart" },
    (plan) => {
      const { living } = lived(plan);
      const pair = [plan.nodes - 2, plan.nodes - 1].map((place) => `node ${place} (n${place})`);
      expect(living.length).toBe(plan.nodes);
      for (const { finished, ran } of living) {
        expect([plan.seed, ran, finished?.code]).toEqual([plan.seed, 0, 4]);
        const { reason = "" } = finished ?? {};
        if (plan.nodes > 2)
          expect(reason).toStartWith(`${pair.join(", ")} did not hear every other`);
        else
          expect(pair.map((name) => `${name} did not answer within 60 s`)).toContain(
            reason.split(":")[0]!,
          );
      }
    },
    12,
  );
});

describe("processes that are started again", () => {
  seeds("while others greet, they are taken in", { trouble: "again" }, together(1, 0, /^off$/));

  seeds(
    "at any moment, they are taken in by all or lost to all",
    { trouble: "again-any" },
    (plan) => {
      const { living } = lived(plan);
      expect(living.length).toBe(plan.nodes);
      const codes = living.map((log) => log.finished?.code);
      if (codes.includes(0)) return expect(codes).toEqual(living.map(() => 0));
      // The new process is refused; the others have lost the one before, or hear of the refusal.
      for (const code of codes) expect([4, 5]).toContain(code!);
    },
    60,
  );

  seeds("while the VM runs, it has lost them", { ending: "again" }, (plan) => {
    const { living } = lived(plan);
    const again = living.findIndex((log) => log.ran === 0);
    for (const { place, finished } of living) {
      if (place === again) {
        expect(finished?.code).toBe(4);
        expect(finished?.reason).toMatch(/still was in the VM that node \d \(n\d\) has left/);
      } else {
        expect(finished?.code).toBe(5);
        expect(finished?.reason).toContain(`node ${again} (n${again}) was lost: its giantvm was`);
      }
    }
  });
});

describe("resets", () => {
  const slow = { stopMs: 15_000 } as const;
  seeds("wait for slow nodes", { ...slow, ending: "reset" }, together(2, 0, /^off$/), 12);
  seeds(
    "wait for one that stands still longer than the silence",
    { ending: "reset-slow" },
    together(2, 0, /^off$/),
  );
  seeds("end when a node dies on the way", { ...slow, ending: "reset-kill" }, lost, 12);
  seeds("end when a node does not come back", { ending: "reset-lost" }, lost);
  seeds("end when a node comes back as another process", { ending: "reset-again" }, (plan) => {
    for (const { ran, finished } of lived(plan).living) {
      // The new process is refused, or hears of the loss of the one before.
      expect(ran === 0 ? [4, 5] : [5]).toContain(finished!.code);
    }
  });
  seeds(
    "end with a sentence when a node hangs",
    { ending: "reset-hang" },
    (plan) => {
      const { living } = lived(plan);
      expect(living.length).toBe(plan.nodes);
      for (const { finished } of living) {
        expect(finished?.code).toBe(7);
        expect(finished?.reason).toMatch(/vCPUs of node \d \(n\d\) did not stop within 60 s/);
      }
    },
    4,
  );
  seeds("end on a signal", { ...slow, ending: "reset-signal" }, (plan) => {
    const { living } = lived(plan);
    for (const { finished } of living) {
      expect(finished?.code).toBe(143);
      expect(finished?.reason).toMatch(/SIGTERM$/);
    }
  });
});
