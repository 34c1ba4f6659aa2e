/**
 * @module What Linux says when a CPU or time was lost to it, or when it met a bug, and memtest86+
 * of memory: a guest may come through and power off, and yet something was wrong with its machine.
 */

/** Of a guest to whom its machine gave too little time; as grep -E and JavaScript take it. */
const late =
  "soft lockup|hard LOCKUP|stalled|self-detected stall|detected stalls|hung task|" +
  "blocked for more than|Call Trace:";
const wrong = "[Uu]nstable|BUG: [^s]|WARNING:|Oops:|Kernel panic|Errors: +[1-9]";
const words = `${late}|BUG:|${wrong}`;

const pattern = new RegExp(`^.*(?:${words}).*$`, "m");
const wrongPattern = new RegExp(`^.*(?:${wrong}).*$`, "m");

/**
 * The first such line of a console; undefined when there is none.
 * @param lateCounts whether too little time is a complaint, too.
 */
export function complaintOf(console: string, lateCounts = true): string | undefined {
  return (lateCounts ? pattern : wrongPattern).exec(console)?.[0].trim();
}

/** Shell text that prints the first such line of the kernel's log and what follows, a backtrace. */
export const findComplaints = `dmesg | grep -E -A 40 '${words}' | head -n 60; true`;
