/** @module The other end of a control socket: one connection, questions and their answers. */

import type { Socket } from "bun";
import { exitCode, Failure } from "../cli/failure.ts";
import { LineReader, Outgoing } from "./lines.ts";
import { type NodeAnswer, type Question, toJson, wireQuestion } from "./question.ts";

const answerMax = 16 * 1024 * 1024;

type Reply = { readonly id: number } & (
  { readonly answers: readonly NodeAnswer[] } | { readonly error: string }
);

export class ControlClient {
  readonly #out = new Outgoing();
  readonly #lines = new LineReader(answerMax);
  readonly #waiting = new Map<number, PromiseWithResolvers<readonly NodeAnswer[]>>();
  readonly #path: string;
  #socket: Socket | undefined;
  #nextId = 1;

  private constructor(path: string) {
    this.#path = path;
  }

  /** Throws Failure when nobody listens there. */
  static async open(path: string): Promise<ControlClient> {
    const client = new ControlClient(path);
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
    } catch {
      throw new Failure(
        exitCode.usage,
        `--control ${path}: no node listens there; name the path that giantvm run --control was ` +
          "given",
      );
    }
    return client;
  }

  /** Answers of all nodes the question is for. Rejects when it is refused or the node ends. */
  ask(question: Question): Promise<readonly NodeAnswer[]> {
    const socket = this.#socket;
    if (socket === undefined) return Promise.reject(this.#gone());
    const id = this.#nextId;
    this.#nextId += 1;
    const waiting = Promise.withResolvers<readonly NodeAnswer[]>();
    this.#waiting.set(id, waiting);
    this.#out.push(socket, `${toJson({ id, ...wireQuestion(question) })}\n`);
    return waiting.promise;
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

  #ended(): void {
    this.#socket = undefined;
    for (const waiting of this.#waiting.values()) waiting.reject(this.#gone());
    this.#waiting.clear();
  }

  #gone(): Failure {
    return new Failure(exitCode.lost, `the node behind ${this.#path} has ended`);
  }
}
