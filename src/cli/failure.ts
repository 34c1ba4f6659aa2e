/** @module How giantvm ends: the table of exit codes, and an error that carries one. */

export const exitCode = {
  done: 0,
  verdict: 1,
  usage: 2,
  host: 3,
  peers: 4,
  lost: 5,
  crash: 6,
  internal: 7,
  hungUp: 129,
  interrupted: 130,
  quit: 131,
  unread: 141,
  terminated: 143,
} as const;

/** One sentence for the user: what, where, what to do. */
export class Failure extends Error {
  constructor(
    readonly code: number,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
    this.name = "Failure";
  }
}

const tooOld = new Failure(
  exitCode.host,
  "this kernel lacks the userfaultfd or KVM features needed: use Linux 6.1 or later; " +
    "giantvm doctor names what is missing",
);

/** The code and the sentence for whatever was thrown; `internal` for what nobody foresaw. */
export function failureOf(error: unknown): Failure {
  if (error instanceof Failure) return error;
  const text = error instanceof Error ? error.message : String(error);
  // Where in the program: the one thing a report of it needs.
  const stack = error instanceof Error ? (error.stack ?? "") : "";
  const place = /([\w./$-]+:\d+:\d+)\)?$/m.exec(stack)?.[1];
  const at = place === undefined ? "" : ` (${place})`;
  return new Failure(
    exitCode.internal,
    `internal error: ${text}${at}; giantvm version and this line make a good report`,
    { cause: error },
  );
}

/** The sentence for a call of the data plane that failed at start. */
export function hostFailure(error: unknown, address: string, guardOff = ""): Failure {
  if (error instanceof Failure) return error;
  const text = error instanceof Error ? error.message : String(error);
  const is = (call: string, code: string) => text.startsWith(`${call}: ${code}`);
  if (is("gvm_open", "ENOENT")) {
    return new Failure(
      exitCode.host,
      "/dev/kvm is missing: load kvm_intel or kvm_amd (modprobe), or enable virtualization in " +
        "the firmware; giantvm doctor tells more",
    );
  }
  if (is("gvm_open", "EACCES") || is("gvm_open", "EPERM")) {
    return new Failure(
      exitCode.host,
      "/dev/kvm may not be opened by this user: join the group kvm or run as root",
    );
  }
  if (is("gvm_open", "EOPNOTSUPP")) return tooOld;
  if (is("gvm_open", "EADDRNOTAVAIL")) {
    return new Failure(
      exitCode.usage,
      `--self ${address} is not an address of this host; name one that is`,
    );
  }
  if (is("gvm_configure", "EACCES") || is("gvm_configure", "EPERM")) {
    return new Failure(
      exitCode.host,
      "userfaultfd may not handle kernel faults for this user: run as root or give access to " +
        "/dev/userfaultfd (vm.unprivileged_userfaultfd)",
    );
  }
  if (is("gvm_facts", "EOPNOTSUPP") || is("gvm_configure", "EOPNOTSUPP")) return tooOld;
  if (is("gvm_facts", "EBUSY") || is("gvm_configure", "EBUSY")) {
    return new Failure(
      exitCode.host,
      "another hypervisor holds this host's virtualization: end its virtual machines first",
    );
  }
  if (is("gvm_configure", "EAGAIN") || is("gvm_run", "EAGAIN")) {
    return new Failure(
      exitCode.host,
      "this user may have no more threads: raise the limit (ulimit -u, TasksMax)",
    );
  }
  if (is("gvm_configure", "EINVAL") && guardOff !== "") {
    return new Failure(exitCode.usage, `--guard-off "${guardOff}": there is no guard of that name`);
  }
  if (is("gvm_configure", "ENOMEM")) {
    return new Failure(
      exitCode.host,
      "there is not enough memory for the guest on this host: lower --local-memory",
    );
  }
  return failureOf(error);
}
