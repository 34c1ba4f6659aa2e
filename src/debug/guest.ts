/**
 * @module The running VM as a debugger's verbs need it: vCPUs of all nodes, and guest memory
 * through one of them, each page read once.
 */

import type { ControlClient } from "../control/client.ts";
import { type NodeAnswer, pageBytes, type Question, writeBytesMax } from "../control/question.ts";
import type { VcpuView } from "../control/views.ts";
import { Failure, exitCode } from "../cli/failure.ts";
import { isPaged, type Paging } from "./paging.ts";

export type Failed = { readonly node: number; readonly name: string; readonly error: string };

export type Asked<T> = {
  readonly values: readonly { readonly node: number; readonly name: string; readonly value: T }[];
  /** Nodes that could not answer, and why. */
  readonly failed: readonly Failed[];
};

export class Guest {
  readonly #control: ControlClient;
  readonly #pages = new Map<bigint, Promise<Uint8Array>>();

  constructor(control: ControlClient) {
    this.#control = control;
  }

  /** @typeParam T what this question's answer is (control/views.ts): both ends are one build. */
  async ask<T>(question: Question): Promise<Asked<T>> {
    const answers: readonly NodeAnswer[] = await this.#control.ask(question);
    return {
      values: answers.flatMap((answer) =>
        "value" in answer ? [{ ...answer, value: answer.value as T }] : [],
      ),
      failed: answers.flatMap((answer) => ("error" in answer ? [answer] : [])),
    };
  }

  /** All vCPUs, or one, in their order. */
  async vcpus(vcpu?: number): Promise<Asked<VcpuView> & { readonly all: readonly VcpuView[] }> {
    const { values, failed } = await this.ask<{ vcpus: readonly VcpuView[] }>({
      ask: "registers",
      vcpu,
    });
    const flat = values.flatMap(({ node, name, value }) =>
      value.vcpus.map((each) => ({ node, name, value: each })),
    );
    if (vcpu !== undefined && flat.length === 0 && failed.length === 0) {
      throw new Failure(exitCode.usage, `vCPU ${vcpu}: this VM has none of that number`);
    }
    return { values: flat, failed, all: flat.map(({ value }) => value) };
  }

  /** Guest physical memory; rejects with the node's sentence when a page does not come. */
  async read(gpaU64: bigint, length: number): Promise<Uint8Array> {
    const out = new Uint8Array(length);
    for (let done = 0; done < length;) {
      const at = gpaU64 + BigInt(done);
      const offset = Number(at % BigInt(pageBytes));
      const part = Math.min(length - done, pageBytes - offset);
      const page = await this.#page(at - BigInt(offset));
      out.set(page.subarray(offset, offset + part), done);
      done += part;
    }
    return out;
  }

  /** Stores in guest physical memory; rejects with the node's sentence, as `read` does. */
  async write(gpaU64: bigint, bytes: Uint8Array): Promise<void> {
    for (let done = 0; done < bytes.length;) {
      const at = gpaU64 + BigInt(done);
      const offset = Number(at % BigInt(pageBytes));
      const part = Math.min(bytes.length - done, pageBytes - offset, writeBytesMax);
      // What was read of it is old, also when not all of it could be stored.
      this.#pages.delete(at - BigInt(offset));
      const piece = bytes.subarray(done, done + part);
      this.#must(await this.ask({ ask: "write", gpaU64: at, bytes: piece }));
      done += part;
    }
  }

  /** What was read before may have changed: the guest went on. */
  forget(): void {
    this.#pages.clear();
  }

  #page(gpaU64: bigint): Promise<Uint8Array> {
    const known = this.#pages.get(gpaU64);
    if (known !== undefined) return known;
    const page = this.#fetch(gpaU64);
    this.#pages.set(gpaU64, page);
    return page;
  }

  async #fetch(gpaU64: bigint): Promise<Uint8Array> {
    const question = { ask: "memory", gpaU64, length: pageBytes } as const;
    const { bytes } = this.#must(await this.ask<{ bytes: string }>(question));
    return new Uint8Array(Buffer.from(bytes, "hex"));
  }

  /** The one answer there is, or its sentence thrown. */
  #must<T>({ values, failed }: Asked<T>): T {
    const [first] = values;
    if (first !== undefined) return first.value;
    throw new Failure(exitCode.peers, `${failed[0]?.name}: ${failed[0]?.error}`);
  }
}

export function pagingOf({ system }: VcpuView): Paging {
  const of = (name: string) => BigInt(system[name] ?? "0x0");
  return { cr0: of("cr0"), cr3: of("cr3"), cr4: of("cr4"), efer: of("efer") };
}

/** Code of the kernel runs: the low bits of CS are the privilege level. */
export function inKernel({ segments }: VcpuView): boolean {
  return ((segments["cs"]?.selector ?? 0) & 3) === 0;
}

/**
 * The vCPU that sees the kernel: one that runs it, as its tables may leave it out in user mode, and
 * pages, as one does not that waits to be started.
 */
export function kernelView(vcpus: readonly VcpuView[]): VcpuView | undefined {
  const paged = vcpus.filter((view) => isPaged(pagingOf(view)));
  return paged.find(inKernel) ?? paged[0] ?? vcpus[0];
}
