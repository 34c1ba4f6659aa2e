/**
 * @module This node's part of the virtual machine, one epoch after the other: the data plane from
 * its opening to its close, the vCPUs in it, and on node 0 what the guest starts with.
 */

import type { GuestImages } from "../machine/images.ts";
import { type Agreement, mixedModels } from "../protocol/agreement.ts";
import type { Hello } from "../protocol/messages.ts";
import type { DataPlane } from "./dataplane.ts";
import type { DaemonOptions } from "./options.ts";

export type MachineOptions = Pick<DaemonOptions, "node" | "open" | "planOf" | "images"> & {
  /** Of all nodes, as users know them. */
  readonly names: readonly string[];
  readonly info: (text: string) => void;
  readonly warn: (text: string) => void;
};

export class NodeMachine {
  readonly #o: MachineOptions;
  #dataPlane: DataPlane | undefined;
  #vcpus: readonly number[] = [];
  #tscKhz = 0;
  /** Of the last machine: a restart of the guest keeps the time it has set. */
  #cmos: Uint8Array = new Uint8Array();
  #images: (() => Promise<GuestImages>) | undefined;

  constructor(options: MachineOptions) {
    this.#o = options;
  }

  /** undefined until it is open, and between two epochs. */
  get dataPlane(): DataPlane | undefined {
    return this.#dataPlane;
  }

  /** This node's, by their number in the cluster, while there is a machine. */
  get vcpus(): readonly number[] {
    return this.#vcpus;
  }

  /** Of the guest, as agreed. */
  get tscKhz(): number {
    return this.#tscKhz;
  }

  /** Opens the data plane of an epoch. @returns with it, what this node greets with. */
  open(epoch: number): { readonly dataPlane: DataPlane; readonly hello: Hello } {
    const opened = this.#o.open(epoch);
    this.#dataPlane = opened.dataPlane;
    return opened;
  }

  /** Makes the machine all nodes agreed on; throws what the data plane does. */
  configure(agreement: Agreement, hellos: readonly Hello[]): void {
    this.#o.info(
      `agreed: ${hellos.length} nodes, ${hellos.reduce((sum, h) => sum + h.cpus, 0)} vCPUs, ` +
        `${hellos.reduce((sum, h) => sum + h.ramPages, 0) / 256} MiB`,
    );
    // A restart of the guest finds the same hosts.
    const mixed = agreement.epoch === 1 ? mixedModels(hellos, this.#o.names) : undefined;
    if (mixed !== undefined) this.#o.warn(mixed);
    this.#images = () => this.#o.images(agreement, hellos);
    this.#tscKhz = agreement.tscKhz;
    this.#dataPlane?.configure(this.#o.planOf(agreement, hellos), this.#cmos);
    const before = hellos.slice(0, this.#o.node).reduce((sum, hello) => sum + hello.cpus, 0);
    const own = hellos[this.#o.node]?.cpus ?? 0;
    this.#vcpus = Array.from({ length: own }, (_, index) => before + index);
  }

  /** Puts the guest into memory and its boot processor at its start; on node 0 only. */
  async load(): Promise<void> {
    const images = await this.#images?.();
    const dataPlane = this.#dataPlane;
    if (images === undefined || dataPlane === undefined) throw new Error("nothing to load");
    for (const segment of images.segments) {
      await dataPlane.load(segment.gpaU64, segment.bytes);
    }
    dataPlane.boot(images.boot);
    if (images.commandLine !== "") this.#o.info(`guest command line: ${images.commandLine}`);
  }

  /** Of each vCPU of this node as of its last exit; "" before there is a machine. */
  registers(): string {
    return this.#vcpus.map((vcpu) => this.#dataPlane?.registers(vcpu) ?? "").join("\n");
  }

  /** The guest is over: nobody is told of its vCPUs any more, the data plane stays. */
  forget(): void {
    this.#vcpus = [];
  }

  /** Whatever comes later, as a console that takes output again, finds no data plane. */
  async close(): Promise<void> {
    const dataPlane = this.#dataPlane;
    this.#dataPlane = undefined;
    const cmos = dataPlane?.cmos();
    if (cmos !== undefined && cmos.length > 0) this.#cmos = cmos;
    await dataPlane?.close();
  }
}
