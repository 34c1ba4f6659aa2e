/**
 * @module GDB's side of a running VM: a TCP port of the loopback that speaks the remote serial
 * protocol (rsp.ts, session.ts) for one gdb at a time, over the control socket of a node.
 */

import type { Socket } from "bun";
import { exitCode, Failure } from "../cli/failure.ts";
import { onSignals } from "../cli/signals.ts";
import type { ControlClient } from "../control/client.ts";
import type { StopView } from "../control/views.ts";
import { Guest } from "./guest.ts";
import { packetOf, PacketReader } from "./rsp.ts";
import { Session, type Target } from "./session.ts";

/** vCPUs that wait for a page are held when they have it; so long is waited for them. */
const holdTries = 100;
const holdPauseMs = 20;
const pollMs = 20;

function targetOf(guest: Guest): Target {
  const must = async (question: Parameters<Guest["ask"]>[0]) => {
    const { failed } = await guest.ask(question);
    const [first] = failed;
    if (first !== undefined) throw new Failure(exitCode.peers, `${first.name}: ${first.error}`);
  };
  return {
    async pause() {
      await must({ ask: "pause", hold: true, vcpus: undefined });
      for (let tries = 0; tries < holdTries; tries += 1) {
        const { all } = await guest.vcpus();
        if (all.every(({ held }) => held)) break;
        await Bun.sleep(holdPauseMs);
      }
      guest.forget();
    },
    resume: (vcpus) => must({ ask: "pause", hold: false, vcpus }),
    vcpus: async () => (await guest.vcpus()).all,
    memory: {
      read: (gpaU64, length) => guest.read(gpaU64, length),
      write: (gpaU64, bytes) => guest.write(gpaU64, bytes),
    },
    guestDebug: (vcpu, wanted) => must({ ask: "guest-debug", vcpu, ...wanted }),
    setRegisters: (vcpu, valuesU64) => must({ ask: "set-registers", vcpu, valuesU64 }),
    async stopped() {
      const { values } = await guest.ask<{ stops: readonly StopView[] }>({ ask: "stops" });
      const [first] = values.flatMap(({ value }) => value.stops);
      return first === undefined ? first : { vcpu: first.vcpu, dr6U64: BigInt(first.dr6) };
    },
  };
}

function say(text: string): void {
  process.stderr.write(`giantvm: ${text}\n`);
}

/** Packets one after the other; what fails is told here and answered E01. */
class Connection {
  readonly #session: Session;
  readonly #reader = new PacketReader();
  #work: Promise<void> = Promise.resolve();
  /** The VM has ended. */
  #gone = false;
  #polling = false;

  constructor(
    readonly socket: Socket,
    target: Target,
  ) {
    this.#session = new Session(target);
    this.#queue(() => this.#session.start());
  }

  take(bytes: Uint8Array): void {
    for (const arrival of this.#reader.take(bytes)) {
      if (arrival.kind === "damaged") this.socket.write("-");
      else if (arrival.kind === "interrupt") this.#queue(() => this.#session.interrupt());
      else {
        this.socket.write("+");
        this.#queue(() => this.#session.packet(arrival.text));
      }
    }
  }

  /** While the guest runs: whether a vCPU has stopped. */
  poll(): void {
    // One at a time: a node that stands still would leave a queue of them.
    if (!this.#session.running || this.#polling) return;
    this.#polling = true;
    this.#queue(() => this.#session.poll().finally(() => (this.#polling = false)), true);
  }

  /** gdb has gone, with or without a word. */
  async end(): Promise<void> {
    await this.#work;
    if (!this.#session.over && !this.#gone) await this.#session.end();
  }

  #over(): void {
    this.#gone = true;
    this.socket.end();
  }

  /** @param unasked gdb waits for the guest to stop, and takes whatever it hears for that. */
  #queue(action: () => Promise<string | undefined | void>, unasked = false): void {
    this.#work = this.#work.then(async () => {
      if (this.#gone) return;
      try {
        const answer = await action();
        if (typeof answer === "string") this.socket.write(packetOf(answer));
      } catch (error) {
        say(error instanceof Error ? error.message : String(error));
        const gone = error instanceof Failure && error.code === exitCode.lost;
        // W: the process has exited.
        if (gone || !unasked) this.socket.write(packetOf(gone ? "W00" : "E01"));
        if (gone) this.#over();
      }
    });
  }
}

/** Serves one gdb, until it lets go; returns the exit code. */
export async function serveGdb(
  control: ControlClient,
  at: { readonly host: string; readonly port: number },
): Promise<number> {
  const target = targetOf(new Guest(control));
  const done = Promise.withResolvers<number>();
  let connection: Connection | undefined;
  const server = listen(at, {
    open(socket) {
      if (connection !== undefined) return void socket.end();
      connection = new Connection(socket, target);
    },
    data: (socket, bytes) => {
      if (connection?.socket === socket) connection.take(bytes);
    },
    close(socket) {
      if (connection?.socket === socket) done.resolve(exitCode.done);
    },
  });
  const { port } = server;
  say(`waits for gdb: target remote ${at.host}:${port}`);
  const off = onSignals((code) => done.resolve(code));
  void control.ended.then((failure) => {
    // A gdb that is there hears of it as the answer to what it asks.
    if (connection === undefined) done.reject(failure);
  });
  const timer = setInterval(() => connection?.poll(), pollMs);
  try {
    const code = await done.promise;
    return (await connection?.end().then(() => undefined, failureOf)) ?? code;
  } finally {
    clearInterval(timer);
    server.stop(true);
    off();
  }
}

/** Says why the guest was not let go; returns the exit code. */
function failureOf(error: unknown): number {
  const gone = error instanceof Failure && error.code === exitCode.lost;
  say(error instanceof Error ? error.message : String(error));
  if (!gone) say("the guest may be held still, with breakpoints in its memory");
  return error instanceof Failure ? error.code : exitCode.peers;
}

type Handlers = {
  open(socket: Socket): void;
  data(socket: Socket, bytes: Uint8Array): void;
  close(socket: Socket): void;
};

function listen({ host, port }: { readonly host: string; readonly port: number }, on: Handlers) {
  try {
    return Bun.listen({ hostname: host, port, socket: on });
  } catch (error) {
    const code = error instanceof Error && "code" in error ? String(error.code) : String(error);
    throw new Failure(exitCode.usage, `--listen ${host}:${port}: cannot be used (${code})`);
  }
}
