/**
 * @module What failed in a report of `bun test`, to be said once more where everybody looks: at
 * its end. A log that was cut has lost its beginning.
 */

/** Of what failed at most so many lines of what it printed, the last ones. */
const most = 60;

export const tail = (report: string): string => report.split("\n").slice(-most).join("\n");

const fine = /^\((?:pass|skip|todo)\) /;
const failure = /^\(fail\) |^# Unhandled error/;
/** Of more than 20 tests Bun repeats the lines of those that failed below this one. */
const repeats = /^\d+ tests failed:$/;

/**
 * @param report without colours.
 * @returns for each failed test the lines before its own, back to the failure before it, and what
 * Bun sets below; for each error outside a test all of its paragraph. Empty where there was
 * neither. Two files at a time, Bun may print a test's words above another one's headline: nothing
 * but tests that passed is left out between.
 */
export function failures(report: string): string[] {
  const all = report.split("\n");
  const repeated = all.findLastIndex((line) => repeats.test(line));
  const told = repeated < 0 ? all : all.slice(0, repeated);
  const lines = told.filter((line) => !fine.test(line));
  const found: string[] = [];
  let begin = 0;
  for (const [index, line] of lines.entries()) {
    if (!failure.test(line)) continue;
    const notes = line.startsWith("#") ? /./ : /^ +\^ /;
    let end = index + 1;
    while (notes.test(lines[end] ?? "")) end += 1;
    found.push(lines.slice(Math.max(begin, index - most), end).join("\n"));
    begin = end;
  }
  return found;
}
