/**
 * @module What may be asked of a running VM, as JSON (docs/debugging.md): a question on a node's
 * control socket, and the same between nodes. Every field is checked; a number of 64 bits is text
 * of hexadecimal digits behind 0x.
 */

export type Breakpoint = {
  readonly addressU64: bigint;
  /** As in DR7: 0 execute, 1 write, 3 access. */
  readonly kind: number;
  /** As in DR7: 0, 1, 3, 2 = 1, 2, 4, 8 bytes. */
  readonly size: number;
};

export type Question =
  /** Of every vCPU of every node, or of one. */
  | { readonly ask: "registers"; readonly vcpu: number | undefined }
  /** Of every node: the page with this guest physical address. */
  | { readonly ask: "page"; readonly gpaU64: bigint }
  /** Bytes within one page, read by the node that is asked. */
  | { readonly ask: "memory"; readonly gpaU64: bigint; readonly length: number }
  /** Stores bytes within one page, by the node that is asked. */
  | { readonly ask: "write"; readonly gpaU64: bigint; readonly bytes: Uint8Array }
  | { readonly ask: "counters" }
  /** The pages that came to each node most often. */
  | { readonly ask: "hot" }
  /** Holds all vCPUs of all nodes outside the guest, or lets them go on; or only these. */
  | { readonly ask: "pause"; readonly hold: boolean; readonly vcpus: readonly number[] | undefined }
  /** vCPUs that stopped at a breakpoint or after a step since they went on. */
  | { readonly ask: "stops" }
  /** For one vCPU, from when it enters the guest next. */
  | {
      readonly ask: "guest-debug";
      readonly vcpu: number;
      readonly step: boolean;
      readonly breakpoints: readonly Breakpoint[];
      /** Guest physical addresses where the debugger has put an int3. */
      readonly int3sU64: readonly bigint[];
    }
  /** For one vCPU, which is held. */
  | {
      readonly ask: "set-registers";
      readonly vcpu: number;
      readonly valuesU64: readonly bigint[];
    };

export const pageBytes = 4096;
/** Most bytes that one question stores (native/zig/limits.zig, write_bytes_max). */
export const writeBytesMax = 256;
/** Most int3s of a debugger in guest memory (native/zig/limits.zig, int3s_max). */
export const int3sMax = 64;
/** Longest question, in characters. */
export const questionMax = 4096;

/** The answer of one node: what was asked for, or a sentence why not. */
export type NodeAnswer = { readonly node: number; readonly name: string } & (
  { readonly value: unknown } | { readonly error: string }
);

export class QuestionError extends Error {
  override readonly name = "QuestionError";
}

type Fields = Readonly<Record<string, unknown>>;

function fail(what: string): never {
  throw new QuestionError(`${what}; docs/debugging.md lists the questions`);
}

function u64Of(value: unknown, name: string): bigint {
  if (typeof value === "string" && /^0x[0-9a-f]{1,16}$/i.test(value)) return BigInt(value);
  return fail(`"${name}" is no number of 64 bits like "0x1000"`);
}

function numberOf(value: unknown, name: string, most: number): number {
  const fits = typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= most;
  return fits ? value : fail(`"${name}" is no whole number from 0 to ${most}`);
}

function booleanOf(value: unknown, name: string): boolean {
  return typeof value === "boolean" ? value : fail(`"${name}" is neither true nor false`);
}

function listOf(value: unknown, name: string, most: number): readonly unknown[] {
  const fits = Array.isArray(value) && value.length <= most;
  return fits ? value : fail(`"${name}" is no list of at most ${most}`);
}

function withinPage(gpaU64: bigint, length: number, what: string): void {
  if ((gpaU64 % BigInt(pageBytes)) + BigInt(length) > BigInt(pageBytes)) {
    fail(`memory is ${what} within one page`);
  }
}

function vcpusOf(value: unknown): readonly number[] {
  return listOf(value, "vcpus", 255).map((one) => numberOf(one, "vcpus", 255));
}

function memoryOf(fields: Fields): Question {
  const gpaU64 = u64Of(fields["gpa"], "gpa");
  const length = numberOf(fields["length"], "length", pageBytes);
  withinPage(gpaU64, length, "read");
  return { ask: "memory", gpaU64, length };
}

function writeOf(fields: Fields): Question {
  const gpaU64 = u64Of(fields["gpa"], "gpa");
  const digits = fields["bytes"];
  if (typeof digits !== "string" || !/^([0-9a-f]{2})+$/i.test(digits)) {
    return fail('"bytes" are no pairs of hexadecimal digits');
  }
  const bytes = new Uint8Array(Buffer.from(digits, "hex"));
  if (bytes.length > writeBytesMax) fail(`"bytes" are more than ${writeBytesMax}`);
  withinPage(gpaU64, bytes.length, "written");
  return { ask: "write", gpaU64, bytes };
}

function breakpointOf(value: unknown): Breakpoint {
  const fields = isFields(value) ? value : fail("a breakpoint is no object");
  return {
    addressU64: u64Of(fields["address"], "address"),
    kind: numberOf(fields["kind"], "kind", 3),
    size: numberOf(fields["size"], "size", 3),
  };
}

function isFields(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Throws QuestionError with a sentence for what is no question. */
export function questionOf(value: unknown): Question {
  if (!isFields(value)) return fail("a question is one JSON object");
  const { ask, vcpu } = value;
  switch (ask) {
    case "registers":
      return { ask, vcpu: vcpu === undefined ? undefined : numberOf(vcpu, "vcpu", 255) };
    case "page":
      return { ask, gpaU64: u64Of(value["gpa"], "gpa") };
    case "memory":
      return memoryOf(value);
    case "write":
      return writeOf(value);
    case "counters":
    case "hot":
    case "stops":
      return { ask };
    case "pause": {
      const only = value["vcpus"] === undefined ? undefined : vcpusOf(value["vcpus"]);
      return { ask, hold: booleanOf(value["hold"], "hold"), vcpus: only };
    }
    case "guest-debug":
      return {
        ask,
        vcpu: numberOf(vcpu, "vcpu", 255),
        step: booleanOf(value["step"], "step"),
        breakpoints: listOf(value["breakpoints"], "breakpoints", 4).map(breakpointOf),
        int3sU64: listOf(value["int3s"], "int3s", int3sMax).map((one) => u64Of(one, "int3s")),
      };
    case "set-registers":
      return {
        ask,
        vcpu: numberOf(vcpu, "vcpu", 255),
        valuesU64: listOf(value["values"], "values", 18).map((one) => u64Of(one, "values")),
      };
    default:
      return fail(`"${String(ask)}" is no question`);
  }
}

/** One line, without its end; numbers of 64 bits as 0x and digits. */
export function toJson(value: unknown): string {
  return JSON.stringify(value, (_, each: unknown) => (typeof each === "bigint" ? hex(each) : each));
}

export function hex(valueU64: bigint): string {
  return `0x${valueU64.toString(16)}`;
}

/** A question as the other side of a socket reads it. */
export function wireQuestion(question: Question): Fields {
  switch (question.ask) {
    case "page":
      return { ask: question.ask, gpa: hex(question.gpaU64) };
    case "memory":
      return { ask: question.ask, gpa: hex(question.gpaU64), length: question.length };
    case "write": {
      const bytes = Buffer.from(question.bytes).toString("hex");
      return { ask: question.ask, gpa: hex(question.gpaU64), bytes };
    }
    case "guest-debug":
      return {
        ask: question.ask,
        vcpu: question.vcpu,
        step: question.step,
        int3s: question.int3sU64.map(hex),
        breakpoints: question.breakpoints.map(({ addressU64, kind, size }) => ({
          address: hex(addressU64),
          kind,
          size,
        })),
      };
    case "set-registers":
      return { ask: question.ask, vcpu: question.vcpu, values: question.valuesU64.map(hex) };
    case "registers":
    case "counters":
    case "hot":
    case "pause":
    case "stops":
      return question;
    default:
      return question satisfies never;
  }
}
