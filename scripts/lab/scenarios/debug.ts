/**
 * @module A debugger at Debian's kernel: packets of gdb's protocol, by busybox on the first host,
 * to `giantvm debug gdb`. The guest is not to move its kernel, so that the host's own kallsyms,
 * less what the host's kernel moved itself by, say where things are.
 */

import { linuxScenario } from "./linux.ts";
import { cpus, dmesg } from "./questions.ts";
import { type Asked, cpusOf, maskOf, type Question, type Scenario } from "./types.ts";

/** A symbol of the host's kernel, as digits; the name is $1. */
const ownAddress = 'sed -n "s/^\\([0-9a-f]*\\) . $1\\$/\\1/p" /proc/kallsyms | head -n 1';
/** Functions of sh for the questions that follow, in the same shell. */
const functions = [
  `own() { ${ownAddress}; }`,
  // The guest's address of a symbol, and so many bytes behind it.
  "at() { printf %x $((0x$(own $1) - 0x$(own _text) + 0xffffffff81000000 + $2)); }",
  // A packet with its sum.
  'sum() { s=0; w=$1; while [ -n "$w" ]; do c=${w%"${w#?}"}; w=${w#?}; ' +
    's=$(((s + $(printf %d "\'$c")) & 255)); done; echo $s; }',
  'packet() { printf \'$%s#%02x\' "$1" $(sum "$1"); }',
  // Packets to gdb's port: all answers, which are awaited, then what the server has said.
  "serve() { rm -f /tmp/gdb; giantvm debug gdb 2>/tmp/gdb & " +
    "until grep -qs waits /tmp/gdb; do usleep 100000; done; }",
  "answered() { [ $(grep -o '#' /tmp/answers | wc -l) -ge $1 ]; }",
  'ask() { serve; : >/tmp/answers; { for w in "$@" D; do packet "$w"; done; ' +
    "until answered $(($# + 1)); do usleep 100000; done; } | nc 127.0.0.1 1234 >/tmp/answers; " +
    "cat /tmp/answers; echo; wait $!; cat /tmp/gdb; }",
];

const tools: Question = {
  host: 0,
  command: [...functions, "at _text 0"].join("; "),
  answer: /^ffffffff81000000$/,
  meaning: "the host has the symbols of the guest's kernel",
};

/** struct new_utsname: fields of 65 bytes, of which the second is the host's name. */
const nodename = 65;
const written = "debugged";

const name = `${(written.length + 1).toString(16)}:${Buffer.from(`${written}\0`).toString("hex")}`;

const writes: Question = {
  host: 0,
  command: `ask "m$(at init_uts_ns 0),5" "M$(at init_uts_ns ${nodename}),${name}"`,
  answer: /\$4c696e7578#[0-9a-f]{2}.*\$OK#9a.*\$OK#9a/,
  meaning: "gdb reads the kernel's name for itself and writes another name for the host",
};

/** The last CPU is on the last host. */
const reads: Asked = (nodes) => ({
  command: `taskset ${maskOf(cpusOf(nodes) - 1)} uname -n`,
  answer: new RegExp(`^${written}$`),
  meaning: "the guest's last CPU reads what gdb has written",
});

/** The emulated processor has no intercept of int3 (native/zig/vm/int3.zig). */
const refused: Question = {
  host: 0,
  command: 'ask "Z0,$(at __x64_sys_newuname 0),1" "m$(at __x64_sys_newuname 0),1"',
  answer: /\$E01#a6\+*\$(?!cc)[0-9a-f]{2}#[^]*KVM does not report int3 on this host/,
  meaning: "a software breakpoint is refused where the guest would die of it",
};

function debugged(name: string, title: string, nodeCpus: readonly number[]): Scenario {
  return {
    ...linuxScenario(name, title, nodeCpus),
    programs: [],
    append: "nokaslr",
    questions: [cpus, tools, writes, reads, refused, cpus, dmesg],
  };
}

export const debuggers: readonly Scenario[] = [
  debugged("gdb", "gdb writes into Debian's kernel on one host, 2 vCPUs", [2]),
  debugged("gdb-pair", "gdb writes into Debian's kernel over two hosts, 1 vCPU each", [1, 1]),
];
