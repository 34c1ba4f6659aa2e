/**
 * @module How long the built-in guest waits before it calls a check failed, and how long whoever
 * watches it must listen: longer, or the guest is ended before it could name what is stuck.
 */

/** Five times what a node may be silent, as one wait may need many pages. */
const wait = { leastMs: 10_000, silences: 5 } as const;
/**
 * Waits in a row without a line (native/zig/guest): two at a meeting, where the slowest vCPU may
 * itself be waiting in its check, and one by which a second vCPU lets the first one speak.
 */
export const quietWaits = { meeting: 2, turn: 1 } as const;
/** From the guest's sentence on one node to the console of another, on a busy machine. */
const marginMs = 15_000;

/** Of one vCPU for another; the shortest where a test wants to see the guest fail. */
export function guestWaitMs(node: { readonly silenceMs: number; readonly guardOff: string }) {
  if (node.guardOff !== "") return wait.leastMs;
  return Math.max(wait.leastMs, wait.silences * node.silenceMs);
}

/** A guest whose console is silent for so long will not say anything any more. */
export function guestQuietMs(node: { readonly silenceMs: number; readonly guardOff: string }) {
  return (quietWaits.meeting + quietWaits.turn) * guestWaitMs(node) + marginMs;
}
