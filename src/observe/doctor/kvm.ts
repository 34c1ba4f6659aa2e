/** @module /dev/kvm: there, ours to open, and of which kind. */

import { fail, type Finding, ok, warn } from "./finding.ts";
import type { HostSource } from "./source.ts";

const device = "/dev/kvm";

const versionWanted = 12;

/** Any kernel since 2.6.22 says 12; what says nothing of the kind is not KVM. */
function stranger(version: number | undefined): Finding | undefined {
  if (version === undefined || version === versionWanted) return undefined;
  return fail(
    "kvm",
    `${device} opens but does not answer as KVM (API version ${version}, not ${versionWanted})`,
    "load kvm_intel or kvm_amd by modprobe; in a container start it with --device /dev/kvm",
  );
}

/** One sentence with its cure when this host cannot run a guest at all; undefined when it can. */
export function kvmObstacle(host: Pick<HostSource, "device" | "probe">): Finding | undefined {
  switch (host.device(device)) {
    case "yes":
      return stranger(host.probe()?.kvmApiVersion);
    case "missing":
      return fail(
        "kvm",
        `there is no ${device} on this machine`,
        "switch on virtualization (Intel VT-x, AMD-V or SVM) in the firmware and run `modprobe " +
          "kvm_intel` or `modprobe kvm_amd`; in a virtual machine switch on nested " +
          "virtualization; in a container start it with --device /dev/kvm",
      );
    case "denied":
      return fail(
        "kvm",
        `this user may not open ${device}`,
        "run as root, or add the user to the group kvm: usermod -aG kvm $USER, then log in again",
      );
  }
}

type Kind = { readonly module: string; readonly text: string };

const kinds: readonly Kind[] = [
  { module: "kvm_pvm", text: "PVM: shadow paging in software, no VMX or SVM needed" },
  { module: "kvm_intel", text: "Intel VMX" },
  { module: "kvm_amd", text: "AMD SVM" },
];

/** What KVM runs on; a CPU that names a hypervisor is itself virtual. */
function kindText(host: HostSource): string {
  const loaded = kinds.filter((kind) => host.exists(`/sys/module/${kind.module}`));
  const kind = loaded.map((each) => each.text).join(", ") || "of unknown kind";
  const nested = / hypervisor( |$)/m.test(host.text("/proc/cpuinfo") ?? "");
  return nested ? `${kind}; this machine is itself a virtual machine` : kind;
}

type Setting = {
  readonly module: string;
  readonly parameter: string;
  readonly name: string;
  readonly found: string;
};

const nestedPaging = {
  name: "nested paging",
  found: "switched off: KVM would not notice that another node changed a guest page table",
};

/** What giantvm cannot do without; the kernel shows both as Y or N (module_param, bool). */
const neededSettings: readonly Setting[] = [
  { module: "kvm_intel", parameter: "ept", ...nestedPaging },
  { module: "kvm_amd", parameter: "npt", ...nestedPaging },
  {
    module: "kvm_intel",
    parameter: "unrestricted_guest",
    name: "real mode",
    found: "unrestricted_guest is off, so the vCPUs that start in real mode would not run right",
  },
];

function reload(module: string, setting: string): string {
  return (
    `modprobe -r ${module} && modprobe ${module} ${setting}, while no virtual machine runs, or, ` +
    `where KVM is built in, ${module}.${setting} on the command line of this host's kernel`
  );
}

/** Each keeps guests that change their page tables from running over several nodes. */
export function settingFindings(host: Pick<HostSource, "text">): readonly Finding[] {
  return neededSettings.flatMap(({ module, parameter, name, found }) =>
    host.text(`/sys/module/${module}/parameters/${parameter}`) === "N"
      ? [fail(name, found, `${reload(module, `${parameter}=1`)}; else the processor lacks it`)]
      : [],
  );
}

/** Shadow paging in software, which the built-in guest does with, and tests with a kernel. */
export function softwareFindings(host: Pick<HostSource, "exists">): readonly Finding[] {
  if (!host.exists("/sys/module/kvm_pvm")) return [];
  return [
    warn(
      "guests",
      "KVM without hardware support: guests that change their page tables on several nodes, " +
        "Linux among them, do not run here; the built-in guest does",
      "use a machine whose KVM has VMX or SVM for such guests",
    ),
  ];
}

function moduleFindings(host: HostSource): readonly Finding[] {
  const findings: Finding[] = [...softwareFindings(host), ...settingFindings(host)];
  if (host.text("/sys/module/kvm_intel/parameters/eptad") === "Y") {
    findings.push(
      warn(
        "kvm_intel.eptad",
        "on: each page walk counts as a write, so page-table pages move between nodes",
        reload("kvm_intel", "eptad=0"),
      ),
    );
  }
  if (host.exists("/sys/module/kvm_amd")) {
    findings.push(
      warn(
        "page walks",
        "AMD counts each page walk as a write, so page-table pages move between nodes",
        "nothing can be set; give guests large pages and keep their work on one node",
      ),
    );
  }
  return findings;
}

export function kvmFindings(host: HostSource): readonly Finding[] {
  const obstacle = kvmObstacle(host);
  if (obstacle !== undefined) return [obstacle];
  return [ok("kvm", kindText(host)), ...moduleFindings(host)];
}
