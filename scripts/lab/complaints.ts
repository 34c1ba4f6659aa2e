/**
 * @module What Linux says when a CPU or time was lost to it, or when it met a bug, and memtest86+
 * of memory: a guest may come through and power off, and yet something was wrong with its machine.
 */

/** Of a guest to whom its machine gave too little time; as grep -E and JavaScript take it. */
const late =
  "soft lockup|workqueue lockup|hard LOCKUP|stalled|self-detected stall|detected stalls|" +
  "hung task|blocked for more than|Call Trace:|APIC timer disabled";
/** Of bugs all but those lockups; grep -E has no other way to say so. */
const wrong = "[Uu]nstable|BUG: ([^sw]|s[^o]|w[^o])|WARNING:|Oops:|Kernel panic|Errors: +[1-9]";
const words = `${late}|${wrong}`;

const pattern = new RegExp(`^.*(?:${words}).*$`, "m");
const wrongPattern = new RegExp(`^.*(?:${wrong}).*$`, "m");

/**
 * The first such line of a console; undefined when there is none.
 * @param lateCounts whether too little time is a complaint, too.
 */
export function complaintOf(console: string, lateCounts = true): string | undefined {
  return (lateCounts ? pattern : wrongPattern).exec(console)?.[0].trim();
}

/** So many lines of a guest's complaints are asked for; each costs some 160 exits. */
const shownLines = 200;

/**
 * Shell text that prints such lines of the kernel's log and what follows each, a backtrace.
 * @param lateCounts as above.
 */
export function findComplaints(lateCounts = true): string {
  return `dmesg | grep -E -A 40 '${lateCounts ? words : wrong}' | head -n ${shownLines}; true`;
}

/**
 * What `findComplaints` prints of a good kernel's log: nothing, or all of a warning of Linux 6.12
 * that is let pass, `hrtimer_forward` called by `dl_task_timer`: the handler of a deadline server's
 * timer was late, which ran on another CPU than its server. The race is the kernel's, and it
 * changes nothing (docs/lab.md).
 * @param lateCounts as above.
 */
export function noComplaints(lateCounts = true): RegExp {
  const other = `(?!.*(?:${lateCounts ? words : wrong})).*`;
  const trace = lateCounts ? ".*Call Trace:\n" : "";
  const known =
    `.*WARNING: .* hrtimer_forward\\+.*\n(?:${other}\n)*?${trace}` +
    `(?:${other}\n)*?.* dl_task_timer\\+.*(?:\n${other})*?`;
  return new RegExp(`^(?!(?:.*\n){${shownLines - 1}})(?:${known}(?:\n(?=.)|$))*$`);
}
