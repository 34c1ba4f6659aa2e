/**
 * @module Answers a debugger's questions on a running node: the own part from the data plane, the
 * others' over the control plane. Every question ends: a node that does not answer is a sentence in
 * the answer.
 */

import {
  hex,
  type NodeAnswer,
  type Question,
  QuestionError,
  questionOf,
  toJson,
  wireQuestion,
} from "../control/question.ts";
import { hotView, pageView, type StopView, vcpuView, type VcpuView } from "../control/views.ts";
import { nameOf } from "../protocol/agreement.ts";
import type { ControlMessage } from "../protocol/messages.ts";
import type { Counters, DataPlane } from "./dataplane.ts";

/** Longer than an engine that hangs is waited for, so that the sentence comes from there. */
const peerPatienceMs = 10_000;
/** Questions of other nodes that are answered at the same time. */
const servedMax = 64;
/**
 * Frames on the way to a node beyond which it is neither asked nor answered; refusals are sent up
 * to twice as many. The rest of the queue (protocol/reliable.ts) is for what must not wait.
 */
const waitingMax = 1024;
/** A running vCPU is asked for newer registers; so often and so long is waited for them. */
const exitTries = 5;
const exitPauseMs = 10;
const answerBytesMax = 512 * 1024;

export type QuestionsOptions = {
  readonly node: number;
  readonly names: readonly string[];
  /** undefined while there is no machine: before the agreement, and between two epochs. */
  readonly dataPlane: () => DataPlane | undefined;
  /** This node's, by their number in the cluster. */
  readonly vcpus: () => readonly number[];
  readonly counters: () => Counters;
  /** Frames on the way to a node. */
  readonly waiting: (to: number) => number;
  readonly send: (to: number, message: ControlMessage) => void;
};

type Waiting = { readonly from: number; readonly answered: (text: string) => void };

export class Questions {
  readonly #o: QuestionsOptions;
  readonly #waiting = new Map<number, Waiting>();
  #nextId = 1;
  #served = 0;
  #stops: StopView[] = [];

  constructor(options: QuestionsOptions) {
    this.#o = options;
  }

  /** The answers of all nodes the question is for, in node order. */
  ask(question: Question): Promise<readonly NodeAnswer[]> {
    const { names, node } = this.#o;
    const alone = question.ask === "memory" || question.ask === "write";
    const nodes = names.flatMap((_, index) => (index === node || !alone ? [index] : []));
    return Promise.all(nodes.map((index) => this.#askNode(index, question)));
  }

  /** A vCPU of this node stopped for the debugger: the others of the node stop, too. */
  debugStop(vcpu: number, ripU64: bigint, dr6U64: bigint): void {
    this.#stops.push({ vcpu, rip: hex(ripU64), dr6: hex(dr6U64) });
    this.#o.dataPlane()?.pause(true);
  }

  /** Another node's question, to be answered by a message. */
  async asked(from: number, id: number, text: string): Promise<void> {
    if (this.#served >= servedMax) {
      return this.#reply(from, id, { error: "too many questions at once" });
    }
    this.#served += 1;
    const outcome = await outcomeOf(async () => this.#own(questionOf(parsed(text))));
    this.#served -= 1;
    this.#reply(from, id, outcome);
  }

  #reply(from: number, id: number, outcome: Outcome): void {
    const waiting = this.#o.waiting(from);
    // Whoever takes so little hears nothing, and stops waiting for it by itself.
    if (waiting >= 2 * waitingMax) return;
    const json = toJson(outcome);
    const refusal =
      waiting >= waitingMax
        ? "too many answers are on their way: ask again later"
        : json.length > answerBytesMax
          ? "the answer is too long"
          : undefined;
    const fits = refusal === undefined ? json : toJson({ error: refusal });
    this.#o.send(from, { kind: "answer", id, text: fits });
  }

  /** An answer; one that nobody waits for is dropped. */
  answered(from: number, id: number, text: string): void {
    const waiting = this.#waiting.get(id);
    if (waiting?.from === from) waiting.answered(text);
  }

  async #askNode(node: number, question: Question): Promise<NodeAnswer> {
    const name = nameOf(this.#o.names, node);
    const outcome =
      node === this.#o.node
        ? await outcomeOf(() => this.#own(question))
        : await this.#askPeer(node, question);
    return { node, name, ...outcome };
  }

  #askPeer(node: number, question: Question): Promise<Outcome> {
    if (this.#o.waiting(node) >= waitingMax) {
      const error = "too many questions are on their way to it: ask again later";
      return Promise.resolve({ error });
    }
    const id = this.#nextId;
    this.#nextId = (this.#nextId % 0xffff_ffff) + 1;
    const { promise, resolve } = Promise.withResolvers<Outcome>();
    const done = (outcome: Outcome) => {
      clearTimeout(timer);
      this.#waiting.delete(id);
      resolve(outcome);
    };
    const timer = setTimeout(
      () => done({ error: `it has not answered within ${peerPatienceMs / 1000} s` }),
      peerPatienceMs,
    );
    this.#waiting.set(id, { from: node, answered: (text) => done(readOutcome(text)) });
    this.#o.send(node, { kind: "ask", id, text: toJson(wireQuestion(question)) });
    return promise;
  }

  async #own(question: Question): Promise<unknown> {
    if (question.ask === "counters") {
      const all = Object.entries(this.#o.counters());
      return Object.fromEntries(all.map(([name, value]) => [name, Number(value)]));
    }
    const dataPlane = this.#o.dataPlane();
    if (dataPlane === undefined || this.#o.vcpus().length === 0) {
      throw new Error("there is no machine yet: the nodes greet, or the guest restarts");
    }
    switch (question.ask) {
      case "registers":
        return this.#registers(dataPlane, question.vcpu);
      case "page":
        return pageView(question.gpaU64, await dataPlane.page(question.gpaU64));
      case "memory": {
        const bytes = await dataPlane.memory(question.gpaU64, question.length);
        return { bytes: Buffer.from(bytes).toString("hex") };
      }
      case "write":
        await dataPlane.write(question.gpaU64, question.bytes);
        return {};
      case "hot":
        return hotView(dataPlane.hot());
      case "pause":
        if (!question.hold) this.#stops = [];
        this.#pause(dataPlane, question.hold, question.vcpus);
        return {};
      case "stops":
        return { stops: this.#stops };
      case "guest-debug":
      case "set-registers":
        return this.#change(dataPlane, question);
      default:
        return question satisfies never;
    }
  }

  #pause(dataPlane: DataPlane, hold: boolean, only: readonly number[] | undefined): void {
    if (only === undefined) return dataPlane.pause(hold);
    for (const vcpu of only) {
      if (this.#o.vcpus().includes(vcpu)) dataPlane.pause(hold, vcpu);
    }
  }

  #change(
    dataPlane: DataPlane,
    question: Extract<Question, { ask: "guest-debug" | "set-registers" }>,
  ): unknown {
    if (!this.#o.vcpus().includes(question.vcpu)) return {};
    if (question.ask === "set-registers") {
      dataPlane.setRegisters(question.vcpu, question.valuesU64);
    } else {
      const { step, breakpoints, int3sU64 } = question;
      dataPlane.guestDebug(question.vcpu, { singleStep: step, breakpoints, int3s: int3sU64 });
    }
    return {};
  }

  async #registers(dataPlane: DataPlane, wanted: number | undefined): Promise<unknown> {
    const vcpus = this.#o.vcpus().filter((vcpu) => wanted === undefined || vcpu === wanted);
    const before = vcpus.map((vcpu) => dataPlane.vcpu(vcpu));
    let views: readonly VcpuView[] = before.map(vcpuView);
    for (let tries = 0; tries < exitTries; tries += 1) {
      const old = views.some(
        ({ activity, waits, inside, exitAgoMs }) =>
          activity === "running" && waits === null && inside && (exitAgoMs ?? 1e9) > exitPauseMs,
      );
      if (!old) break;
      await Bun.sleep(exitPauseMs);
      // The machine may have gone meanwhile.
      if (this.#o.dataPlane() !== dataPlane) break;
      views = vcpus.map((vcpu) => vcpuView(dataPlane.vcpu(vcpu)));
    }
    return { vcpus: views };
  }
}

type Outcome = { readonly value: unknown } | { readonly error: string };

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new QuestionError("a question is one JSON object");
  }
}

function readOutcome(text: string): Outcome {
  try {
    const outcome: unknown = JSON.parse(text);
    if (typeof outcome === "object" && outcome !== null) {
      if ("error" in outcome) return { error: String(outcome.error) };
      if ("value" in outcome) return { value: outcome.value };
    }
  } catch {
    // Told below, as any answer that is none.
  }
  return { error: "its answer cannot be read" };
}

const sentences: readonly (readonly [RegExp, string])[] = [
  [/: ERANGE$/, "there is no such vCPU, or no RAM at this address"],
  [/: EBUSY$/, "it is not held, or too many questions wait for its engine"],
  [
    /gvm_guest_debug: EOPNOTSUPP$/,
    "KVM does not report int3 on this host, and the guest would die of one: use hbreak",
  ],
  [/: EALREADY$/, "there is no machine, or it stops"],
];

/** A value, or the sentence of what was thrown. */
async function outcomeOf(answer: () => Promise<unknown>): Promise<Outcome> {
  try {
    return { value: (await answer()) ?? {} };
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    return { error: sentences.find(([pattern]) => pattern.test(text))?.[1] ?? text };
  }
}
