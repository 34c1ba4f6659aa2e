/**
 * @module What Linux says when a CPU or time was lost to it, or when it met a bug: a guest may come
 * through and power off, and yet something was wrong with its machine.
 */

/** As grep -E and JavaScript both take it. */
const words =
  "soft lockup|hard LOCKUP|[Uu]nstable|stalled|self-detected stall|detected stalls|hung task|" +
  "blocked for more than|BUG:|WARNING:|Oops:|Call Trace:|Kernel panic";

const pattern = new RegExp(`^.*(?:${words}).*$`, "m");

/** The first such line of a console; undefined when there is none. */
export function complaintOf(console: string): string | undefined {
  return pattern.exec(console)?.[0].trim();
}

/** Shell text that prints such lines of the kernel's log, most of which no console shows. */
export const findComplaints = `dmesg | grep -E '${words}'; true`;
