/** @module The other end of a control socket: one connection, questions and their answers. */

import type { Socket } from "bun";
import { exitCode, Failure } from "../cli/failure.ts";
import { codeOf } from "../config/files.ts";
import { LineReader, Outgoing } from "./lines.ts";
import { type NodeAnswer, type Question, toJson, wireQuestion } from "./question.ts";

const answerMax = 16 * 1024 * 1024;
/** A node waits half as long for the others (node/questions.ts), and less for a page. */
const patienceMs = 20_000;

type Reply = { readonly id: number } & (
  { readonly answers: readonly NodeAnswer[] } | { readonly error: string }
);

export class ControlClient {
  readonly #out = new Outgoing();
  readonly #lines = new LineReader(answerMax);
  readonly #waiting = new Map<number, PromiseWithResolvers<readonly NodeAnswer[]>>();
  readonly #path: string;
  readonly #patienceMs: number;
  readonly #over = Promise.withResolvers<Failure>();
  #socket: Socket | undefined;
  #nextId = 1;

  private constructor(path: string, patience: number) {
    this.#path = path;
    this.#patienceMs = patience;
  }

  /**
   * Throws Failure when nobody listens there.
   * @param patience for each answer, in milliseconds.
   */
  static async open(path: string, patience = patienceMs): Promise<ControlClient> {
    const client = new ControlClient(path, patience);
    try {
      client.#socket = await Bun.connect({
        unix: path,
        socket: {
          data: (_, bytes) => client.#received(bytes),
          drain: (socket) => client.#out.flush(socket),
          close: () => client.#ended(),
          error: () => client.#ended(),
        },
      });
    } catch (error) {
      const why =
        codeOf(error) === "EACCES"
          ? "this user may not ask there; be the user that runs the node"
          : "no node listens there; name the path that giantvm run --control was given";
      throw new Failure(exitCode.usage, `--control ${path}: ${why}`);
    }
    return client;
  }

  /**
   * Answers of all nodes the question is for. Rejects when it is refused, the node ends or says
   * nothing for too long.
   */
  ask(question: Question): Promise<readonly NodeAnswer[]> {
    const socket = this.#socket;
    if (socket === undefined) return Promise.reject(this.#gone());
    const id = this.#nextId;
    this.#nextId += 1;
    const waiting = Promise.withResolvers<readonly NodeAnswer[]>();
    this.#waiting.set(id, waiting);
    this.#out.push(socket, `${toJson({ id, ...wireQuestion(question) })}\n`);
    const timer = setTimeout(() => this.#late(id), this.#patienceMs);
    return waiting.promise.finally(() => clearTimeout(timer));
  }

  /** Why nothing is answered any more, once that is so. */
  get ended(): Promise<Failure> {
    return this.#over.promise;
  }

  close(): void {
    this.#socket?.end();
  }

  #received(bytes: Uint8Array): void {
    for (const line of this.#lines.take(bytes) ?? []) {
      const reply = JSON.parse(line) as Reply;
      const waiting = this.#waiting.get(reply.id);
      this.#waiting.delete(reply.id);
      if ("answers" in reply) waiting?.resolve(reply.answers);
      else waiting?.reject(new Failure(exitCode.usage, reply.error));
    }
  }

  #late(id: number): void {
    const why = `has not answered within ${this.#patienceMs / 1000} s`;
    const sentence = `the node behind ${this.#path} ${why}: it is stopped, or its host is too busy`;
    this.#waiting.get(id)?.reject(new Failure(exitCode.peers, sentence));
    this.#waiting.delete(id);
  }

  #ended(): void {
    this.#socket = undefined;
    this.#over.resolve(this.#gone());
    for (const waiting of this.#waiting.values()) waiting.reject(this.#gone());
    this.#waiting.clear();
  }

  #gone(): Failure {
    return new Failure(exitCode.lost, `the node behind ${this.#path} has ended`);
  }
}
