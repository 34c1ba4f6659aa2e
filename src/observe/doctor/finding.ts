/** @module One line of the doctor's report. */

export type Finding = {
  readonly name: string;
  /** `fail`: giantvm cannot run so; `warn`: it runs, slower or with less; `ok`. */
  readonly level: "ok" | "warn" | "fail";
  readonly found: string;
  /** What to do; null when there is nothing to do. */
  readonly cure: string | null;
};

export function ok(name: string, found: string): Finding {
  return { name, level: "ok", found, cure: null };
}

export function warn(name: string, found: string, cure: string): Finding {
  return { name, level: "warn", found, cure };
}

export function fail(name: string, found: string, cure: string): Finding {
  return { name, level: "fail", found, cure };
}

/** A finding as one sentence of an error. */
export function sentence(finding: Finding): string {
  return `${finding.name}: ${finding.found}; ${finding.cure ?? ""} (giantvm doctor tells more)`;
}
