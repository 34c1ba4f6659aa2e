/**
 * @module Which threads go on, and how (GDB manual, appendix E, "vCont packet"): the first action
 * that names a thread is its; one without a thread is for all that none before it names. A thread
 * without any stays where it is. Pure.
 */

export type Action = "step" | "continue";

/** @param vcpus All there are; thread N is vCPU N - 1, thread -1 all of them. */
export function actionsOf(text: string, vcpus: readonly number[]): ReadonlyMap<number, Action> {
  const found = new Map<number, Action>();
  for (const word of text.split(";").slice(1)) {
    const [kind = "", thread] = word.split(":");
    const action: Action = kind.toLowerCase().startsWith("s") ? "step" : "continue";
    const all = thread === undefined || thread === "-1";
    const named = all ? vcpus : [Number.parseInt(thread, 16) - 1];
    for (const vcpu of named) {
      if (vcpus.includes(vcpu) && !found.has(vcpu)) found.set(vcpu, action);
    }
  }
  return found;
}
