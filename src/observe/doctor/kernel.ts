/** @module The kernel: version, userfaultfd, limits on mappings, huge pages. */

import { fail, type Finding, ok, warn } from "./finding.ts";
import type { HostSource } from "./source.ts";

export function kernelVersion(host: HostSource): Finding {
  const release = host.text("/proc/sys/kernel/osrelease") ?? "unknown";
  const [major = 0, minor = 0] = release.split(/[.-]/).map(Number);
  const at = (wantedMajor: number, wantedMinor: number) =>
    major > wantedMajor || (major === wantedMajor && minor >= wantedMinor);
  if (at(6, 4)) return ok("kernel", release);
  const slower = "pages that are only read are copied once more";
  const cure = "use Linux 6.4 or later";
  if (at(6, 2)) return warn("kernel", `${release}: ${slower}`, cure);
  if (at(6, 1)) {
    const stopping = "a vCPU that waits for a page cannot be interrupted, so stopping takes longer";
    return warn("kernel", `${release}: ${slower}, and ${stopping}`, cure);
  }
  return fail(
    "kernel",
    `${release} is older than any that giantvm was tried on`,
    "use Linux 6.4 or later (6.1 is the oldest that works)",
  );
}

/** Bits of uapi/linux/userfaultfd.h that the engine asks for (native/zig/sys/uffd.zig). */
const features = [
  ["MISSING_SHMEM", 5],
  ["THREAD_ID", 8],
  ["MINOR_SHMEM", 10],
  ["WP_HUGETLBFS_SHMEM", 12],
] as const;

export function userfault(host: HostSource): Finding {
  const name = "userfaultfd";
  const probe = host.probe();
  if (probe === undefined) {
    return warn(name, "could not be tried", "rebuild giantvm: its native library did not load");
  }
  if (probe.userfault === "missing") {
    return fail(name, "this kernel has none", "use a kernel with CONFIG_USERFAULTFD=y");
  }
  if (probe.userfault === "denied") {
    return fail(
      name,
      "this user may not handle page faults of the kernel, and KVM's are such",
      "run as root, or chgrp kvm /dev/userfaultfd && chmod 660 /dev/userfaultfd, or for every " +
        "user sysctl -w vm.unprivileged_userfaultfd=1",
    );
  }
  const lacking = features.filter(([, bit]) => ((probe.userfaultFeatures >> bit) & 1) === 0);
  if (lacking.length === 0) return ok(name, "all features there");
  const names = lacking.map(([feature]) => feature).join(", ");
  return fail(name, `lacks ${names}`, "use Linux 6.1 or later for x86-64");
}

export function limits(host: HostSource): readonly Finding[] {
  const findings: Finding[] = [];
  const maps = Number(host.text("/proc/sys/vm/max_map_count") ?? "0");
  const mapsWanted = 65_530;
  findings.push(
    maps >= mapsWanted
      ? ok("max_map_count", String(maps))
      : warn(
          "max_map_count",
          `${maps}: memory that is shared in many small pieces may need more`,
          `sysctl -w vm.max_map_count=${mapsWanted}`,
        ),
  );
  const shmem = /\[(\w+)\]/.exec(
    host.text("/sys/kernel/mm/transparent_hugepage/shmem_enabled") ?? "",
  );
  // Whatever it says: guest memory is under MADV_NOHUGEPAGE (native/zig/engine/memory.zig).
  findings.push(ok("huge pages", `${shmem?.[1] ?? "not offered"}; guest memory asks for none`));
  return findings;
}
