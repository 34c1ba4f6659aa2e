/**
 * @module What failed in a report of `bun test`, to be said once more where everybody looks: at
 * its end. A log that was cut has lost its beginning.
 */

/** Of what failed at most so many lines of what it printed, the last ones. */
const most = 60;

export const tail = (report: string): string => report.split("\n").slice(-most).join("\n");

const result = /^\((?:pass|fail|skip|todo)\) /;
const failure = /^\(fail\) |^# Unhandled error/;
const file = /^\S+\.tsx?:$/;

/**
 * @param report without colours.
 * @returns for each failed test its file, what was printed since the result before it, its own
 * line, and the notes that Bun sets below that. Empty where no test failed by name.
 */
export function failures(report: string): string[] {
  const lines = report.split("\n");
  const found: string[] = [];
  let where = "";
  let begin = 0;
  for (const [index, line] of lines.entries()) {
    if (file.test(line)) {
      where = line;
      begin = index + 1;
    }
    if (failure.test(line)) {
      let end = index + 1;
      // An error outside a test is told behind its headline.
      const notes = line.startsWith("#") ? /./ : /^ +\^ /;
      while (notes.test(lines[end] ?? "")) end += 1;
      found.push([where, ...lines.slice(Math.max(begin, index - most), end)].join("\n"));
      begin = end;
    } else if (result.test(line)) begin = index + 1;
  }
  return found;
}
