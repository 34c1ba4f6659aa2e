/**
 * @module What ends the VM, as the data plane tells it, in the words of the cluster machine: the
 * exit code and the sentence that every node says.
 */

import type { Event } from "../protocol/cluster.ts";
import type { DataEvent } from "./dataplane.ts";

/** The events after which the VM does not go on. */
export type LastEvent = Extract<
  DataEvent,
  {
    readonly kind:
      | "poweroff"
      | "reset"
      | "debug-exit"
      | "crash"
      | "engine-error"
      | "peer-refused"
      | "peer-silent";
  }
>;

const letPass = "let all UDP between the nodes pass and not only the port of --peers";

export type Cause = Extract<Event, { readonly kind: "end" | "lost" | "unheard" }>;

/** @param node the one that tells. */
export function causeOf(event: LastEvent, node: number): Cause {
  switch (event.kind) {
    case "poweroff":
      return { kind: "end", cause: "poweroff", code: 0, reason: "the guest powered off" };
    case "reset":
      return { kind: "end", cause: "reset", code: 0, reason: "the guest reset the machine" };
    case "debug-exit": {
      const reason = `the guest ended with ${event.code}`;
      return { kind: "end", cause: "verdict", code: event.code === 0 ? 0 : 1, reason };
    }
    case "crash": {
      const reason = `vCPU ${event.vcpu} on node ${node}: ${event.reason}`;
      return { kind: "end", cause: "crash", code: 6, reason };
    }
    case "engine-error": {
      const reason = `the memory engine stopped: ${event.reason}`;
      return { kind: "end", cause: "failed", code: 7, reason };
    }
    case "peer-refused":
      return {
        kind: "lost",
        node: event.node,
        how: event.answered
          ? "its port is closed"
          : `its data port is refused, by a filter if giantvm runs there: ${letPass}`,
      };
    case "peer-silent": {
      const { node: peer, silentMs } = event;
      return silentMs > 0
        ? { kind: "lost", node: peer, how: `its engine was silent for ${silentMs} ms` }
        : { kind: "unheard", node: peer, how: `its engine was never heard, ${letPass}` };
    }
    default:
      return event satisfies never;
  }
}
