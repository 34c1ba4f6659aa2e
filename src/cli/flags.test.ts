/** @module The words of a command line, and the sentence for each that is not taken. */

import { expect, test } from "bun:test";
import type { Option } from "../config/options.ts";
import { Failure } from "./failure.ts";
import { readArguments } from "./flags.ts";

const options: readonly Option[] = [
  { name: "local-cpu", value: "N", help: "" },
  { name: "peers", value: "LIST", several: ",", help: "" },
  { name: "append", value: "TEXT", several: " ", help: "" },
  { name: "verbose", short: "v", help: "" },
  { name: "scratch-node", value: "N", help: "", hidden: true },
];

function read(...argv: readonly string[]) {
  return readArguments(argv, options, "see giantvm help run");
}

test("options stand anywhere, their values are text", () => {
  const { flags, words } = read(
    "run",
    "--local-cpu",
    "007",
    "-v",
    "x",
    "--append=-q a=b",
    "--peers=",
  );
  expect(flags).toEqual({ "local-cpu": "007", verbose: "true", append: "-q a=b", peers: "" });
  expect(words).toEqual(["run", "x"]);
  expect(read("--verbose=no", "--scratch-node", "1").flags).toEqual({
    verbose: "false",
    "scratch-node": "1",
  });
});

test("the values of a list are joined", () => {
  const { flags } = read("--peers", "a,b", "--append=x", "--peers", "c", "--append", "y z");
  expect(flags).toEqual({ peers: "a,b,c", append: "x y z" });
});

test("what is not understood is refused with what to do", () => {
  const refused: readonly (readonly [readonly string[], string])[] = [
    [["--frobnicate=1"], "--frobnicate: no such option; see giantvm help run"],
    [["--no-verbose"], "--no-verbose: no such option; see giantvm help run"],
    [["-vv"], "-vv: no such option; see giantvm help run"],
    [["--"], "--: no such option; see giantvm help run"],
    [["--constructor"], "--constructor: no such option; see giantvm help run"],
    [["--localCpu", "1"], "--localCpu: no such option; write --local-cpu"],
    [["--local_cpu=1"], "--local_cpu: no such option; write --local-cpu"],
    [["-local-cpu", "1"], "-local-cpu: no such option; write --local-cpu"],
    [["--scratchNode", "1"], "--scratchNode: no such option; see giantvm help run"],
    [["--local-cpu"], "--local-cpu: give a value (N)"],
    [["--local-cpu", "-v"], "--local-cpu: give a value (N); --local-cpu=-v if that is one"],
    [["--local-cpu", "1", "--local-cpu=1"], "--local-cpu is given twice; give it once"],
    [["-v", "--verbose"], "--verbose is given twice; give it once"],
    [["-v=maybe"], '--verbose "maybe": give true or false'],
  ];
  for (const [argv, sentence] of refused) {
    expect(() => read(...argv)).toThrow(Failure);
    expect(() => read(...argv)).toThrow(new Failure(2, sentence));
  }
});
