/** @module Every rule of the agreement: one case each, with the sentence, and the border beside. */

import { expect, test } from "bun:test";
import type { HostFacts } from "../node/dataplane.ts";
import { agree, disagreement, mixedModels } from "./agreement.ts";
import { type Hello, protocolVersion } from "./messages.ts";

type Changes = Omit<Partial<Hello>, "facts"> & { readonly facts?: Partial<HostFacts> };

function hello({ facts, ...changes }: Changes = {}): Hello {
  return {
    kind: "hello",
    protocol: protocolVersion,
    build: "b1",
    epoch: 3,
    order: "h0:1,h1:2",
    cpus: 2,
    ramPages: 1024,
    dataPort: 9,
    vmIdU64: 5n,
    settings: [
      ["silence", "2000"],
      ["guard-off", ""],
    ],
    hide: [],
    kernel: false,
    obstacle: "",
    ...changes,
    facts: {
      vendor: "AuthenticAMD",
      cpuid: [],
      tscKhz: 2_000_000,
      physicalAddressBits: 46,
      xcr0U64: 7n,
      ...facts,
    },
  };
}

const names = ["a:1", "b:2", "c:3"];

function differs(changes: Changes): string | undefined {
  return disagreement([hello(), hello(changes)], names);
}

test("equal nodes agree", () => {
  expect(disagreement([hello(), hello(), hello()], names)).toBeUndefined();
  const outcome = agree([hello(), hello({ vmIdU64: 6n, facts: { tscKhz: 2_000_100 } })], () => []);
  expect(outcome).toEqual({
    ok: true,
    agreement: { vmIdU64: 5n, epoch: 3, tscKhz: 2_000_000, cpuid: [] },
  });
});

const pairs: readonly (readonly [string, Changes, string])[] = [
  ["build", { build: "b2" }, "node 1 (b:2) is build b2, node 0 (a:1) is b1: run the same giantvm"],
  [
    "order",
    { order: "h1:2,h0:1" },
    "node 1 (b:2) was given --peers h1:2,h0:1, node 0 (a:1) was given h0:1,h1:2: name the same",
  ],
  [
    "settings",
    {
      settings: [
        ["silence", "500"],
        ["guard-off", ""],
      ],
    },
    "node 1 (b:2) has --silence 500, node 0 (a:1) has 2000: use one value",
  ],
  [
    "settings that one does not know",
    { settings: [["silence", "2000"]] },
    "node 1 (b:2) has --guard-off none, node 0 (a:1) has none: use one value",
  ],
  [
    "vendor",
    { facts: { vendor: "GenuineIntel" } },
    "node 1 (b:2) has a GenuineIntel processor, node 0 (a:1) a AuthenticAMD: one VM needs",
  ],
  [
    "TSC rate",
    { facts: { tscKhz: 2_001_001 } },
    "the TSC of node 1 (b:2) runs at 2001001 kHz, that of node 0 (a:1) at 2000000 kHz",
  ],
];

for (const [rule, changes, sentence] of pairs) {
  test(`nodes must not differ in: ${rule}`, () => {
    expect(differs(changes)).toStartWith(sentence);
  });
}

test("node 0's kernel needs what each host has, and a guest that is built in does not", () => {
  const poor = hello({ obstacle: "nested paging: switched off" });
  const kernel = hello({ kernel: true });
  expect(disagreement([kernel, undefined, poor], names)).toBe(
    "node 2 (c:3) cannot be one of several nodes with the kernel of node 0 (a:1): " +
      "nested paging: switched off",
  );
  expect(disagreement([hello(), poor], names)).toBeUndefined();
  expect(disagreement([kernel, hello()], names)).toBeUndefined();
});

test("a TSC within 250 ppm is the same", () => {
  expect(differs({ facts: { tscKhz: 2_000_500 } })).toBeUndefined();
  expect(differs({ facts: { tscKhz: 1_999_500 } })).toBeUndefined();
  expect(differs({ facts: { tscKhz: 1_999_499 } })).toBeDefined();
});

/** A host whose leaf 1 says so; `ecx` is no part of the model. */
function model(eax: number, ecx = 0): Hello {
  return hello({ facts: { cpuid: [{ leaf: 1, index: 0, flags: 0, eax, ebx: 0, ecx, edx: 0 }] } });
}

test("processors of several models are no disagreement, and each is named", () => {
  // Cascade Lake and Ice Lake of Intel's, Zen 3 of AMD's; another stepping is another model, too.
  const [cascade, ice, zen] = [0x50657, 0x606a6, 0xa20f12];
  expect(mixedModels([model(cascade), model(cascade, 1)], names)).toBeUndefined();
  expect(disagreement([model(cascade), model(ice)], names)).toBeUndefined();
  expect(mixedModels([model(cascade), model(ice), model(zen)], names)).toBe(
    "the processors differ, and a guest chooses its mitigations by node 0's: " +
      "node 0 (a:1) has family 6 model 85 stepping 7, " +
      "node 1 (b:2) has family 6 model 106 stepping 6, " +
      "node 2 (c:3) has family 25 model 33 stepping 2; " +
      "let the host that needs most of them (the older one) be the first in --peers",
  );
  expect(mixedModels([model(cascade), model(cascade - 1)], names)).toContain("stepping 6");
});

test("two nodes are enough to disagree, whoever is still missing", () => {
  const odd = hello({ build: "b2" });
  expect(disagreement([undefined, hello(), odd], names)).toContain("node 2 (c:3) is build b2");
  expect(disagreement([undefined, hello(), undefined], names)).toBeUndefined();
  expect(disagreement([], names)).toBeUndefined();
});

function refused(hellos: readonly Hello[]): string {
  const outcome = agree(hellos, () => []);
  return outcome.ok ? "agreed" : outcome.reason;
}

test("255 vCPUs are the most", () => {
  expect(refused([hello({ cpus: 255 }), hello({ cpus: 0 })])).toBe("agreed");
  expect(refused([hello({ cpus: 128 }), hello({ cpus: 128 })])).toContain("256 vCPUs in all");
});

test("8 TiB are the most, however wide the addresses", () => {
  const half = { ramPages: 2 ** 30, facts: { physicalAddressBits: 52 } };
  expect(refused([hello(half), hello(half)])).toBe("agreed");
  expect(refused([hello(half), hello({ ...half, ramPages: 2 ** 30 + 1 })])).toContain("8 TiB");
  expect(refused([hello({ ramPages: 0 })])).toContain("--local-memory");
});

test("memory ends below the narrowest node's address width, the hole at 3 GiB included", () => {
  const narrow = (pages: number) => hello({ ramPages: pages, facts: { physicalAddressBits: 36 } });
  // 63 GiB of RAM with its last gigabyte moved above the hole end at 64 GiB.
  const fits = (63 * 2 ** 30) / 4096 - 1024;
  expect(refused([hello(), narrow(fits)])).toBe("agreed");
  expect(refused([hello(), narrow(fits + 1)])).toBe(
    "the guest's memory ends at 1000001000 and the processor of node 1 has 36 address bits: " +
      "lower the nodes' shares",
  );
});

test("what the processors cannot show together is told as it is", () => {
  const outcome = agree([hello()], () => {
    throw new Error("the hosts lay out processor state 2 differently");
  });
  expect(outcome).toEqual({ ok: false, reason: "the hosts lay out processor state 2 differently" });
});
