/**
 * @module The control socket of a running node: a Unix socket that only its user may open. Each
 * line is a question (question.ts) with an "id", each answer a line with the same id; questions of
 * one connection are answered as their answers come.
 */

import { lstatSync, rmSync } from "node:fs";
import type { Socket, SocketHandler } from "bun";
import { exitCode, Failure } from "../cli/failure.ts";
import { codeOf } from "../config/files.ts";
import { tryConnect } from "../native/unix.ts";
import type { Questions } from "../node/questions.ts";
import { LineReader, Outgoing } from "./lines.ts";
import { QuestionError, questionMax, questionOf, toJson } from "./question.ts";

/** sun_path of sockaddr_un, with its end (unix(7)). */
const pathBytesMax = 107;
/** Only the user that runs the node. */
const privateMask = 0o177;

type Connection = { readonly lines: LineReader; readonly out: Outgoing };

export type ControlServer = { close(): void };

function refuse(path: string, why: string): never {
  throw new Failure(exitCode.usage, `--control ${path}: ${why}`);
}

/** A socket that a node left behind gives way; anything else stays. */
function makeRoom(path: string): void {
  if (Buffer.byteLength(path) > pathBytesMax) {
    refuse(path, `is longer than ${pathBytesMax} bytes; name a shorter path`);
  }
  const there = lstatSync(path, { throwIfNoEntry: false });
  if (there === undefined) return;
  if (!there.isSocket()) refuse(path, "is there and no socket; name another path");
  try {
    tryConnect(path);
  } catch (error) {
    const code = codeOf(error);
    // Somebody else has made room meanwhile.
    if (code === "ENOENT") return;
    // Any other: it is of another kind or another user, or too busy to answer.
    if (code === "ECONNREFUSED") return rmSync(path, { force: true });
    refuse(path, `may still be in use (${code}); remove it, or name another path`);
  }
  refuse(path, "another giantvm listens there; name another path");
}

/** What a line asks for, answered in one line. Never rejects. */
async function answerTo(line: string, questions: Questions): Promise<string> {
  let id: unknown = null;
  try {
    const value: unknown = JSON.parse(line);
    if (typeof value === "object" && value !== null && "id" in value) ({ id } = value);
    return toJson({ id, answers: await questions.ask(questionOf(value)) });
  } catch (error) {
    const known = error instanceof QuestionError;
    return toJson({ id, error: known ? error.message : "a question is one JSON object in a line" });
  }
}

function handlers(questions: Questions): SocketHandler<Connection> {
  const answer = async (socket: Socket<Connection>, line: string) => {
    const text = await answerTo(line, questions);
    socket.data.out.push(socket, `${text}\n`);
  };
  return {
    open(socket) {
      socket.data = { lines: new LineReader(questionMax), out: new Outgoing() };
    },
    data(socket, bytes) {
      const lines = socket.data.lines.take(bytes);
      if (lines === undefined) return void socket.end();
      for (const line of lines) void answer(socket, line);
    },
    drain(socket) {
      socket.data.out.flush(socket);
    },
    error() {},
  };
}

function inodeOf(path: string): string | undefined {
  const there = lstatSync(path, { throwIfNoEntry: false, bigint: true });
  return there === undefined ? undefined : `${there.dev}:${there.ino}`;
}

function listen(path: string, questions: Questions): ControlServer {
  const before = process.umask(privateMask);
  try {
    const server = Bun.listen<Connection>({ unix: path, socket: handlers(questions) });
    const own = inodeOf(path);
    return {
      close() {
        const there = inodeOf(path);
        // Bun removes whatever is at the path then, and another node's may be there by now.
        if (there === undefined || there === own) server.stop(true);
        else server.unref();
      },
    };
  } finally {
    process.umask(before);
  }
}

/** Listens at the path; undefined without one. Throws Failure for a path that cannot be used. */
export function openControl(
  path: string | undefined,
  questions: Questions,
): ControlServer | undefined {
  if (path === undefined) return undefined;
  try {
    makeRoom(path);
    return listen(path, questions);
  } catch (error) {
    if (error instanceof Failure) throw error;
    const why = `cannot be made (${codeOf(error)})`;
    return refuse(path, `${why}; name a path in a folder this user may write`);
  }
}
