/**
 * @module Hosts that lack something: commands that run a program with a /dev of its own, in a mount
 * namespace, and without the capability that would look past what is forbidden there.
 */

/** Device nodes of Linux: major and minor number. */
const nodes = {
  null: [1, 3],
  urandom: [1, 9],
  kvm: [10, 232],
} as const;

export type Lack = "kvm" | "kvm-permission" | "real-kvm" | "userfaultfd";

/** Why such a host cannot be made here; undefined when it can. */
export function hostsMissing(): string | undefined {
  if (process.getuid?.() !== 0) return "mount namespaces need root";
  const absent = ["unshare", "setpriv", "mknod", "mount"].find((name) => Bun.which(name) === null);
  if (absent !== undefined) return `no ${absent} command`;
  const tried = Bun.spawnSync(["unshare", "-m", "sh", "-c", "mount -t tmpfs none /dev"]);
  return tried.exitCode === 0 ? undefined : `no mount namespace: ${tried.stderr.toString().trim()}`;
}

function make(name: keyof typeof nodes, path: string, mode: string): string {
  const [major, minor] = nodes[name];
  return `mknod -m ${mode} ${path} c ${major} ${minor}`;
}

/** Words before a program and its arguments. */
export function without(lack: Lack): readonly string[] {
  const kvm = {
    kvm: [],
    "kvm-permission": [make("kvm", "/dev/kvm", "600"), "chown 1:1 /dev/kvm"],
    "real-kvm": [make("null", "/dev/kvm", "600")],
    userfaultfd: [make("kvm", "/dev/kvm", "600")],
  }[lack];
  const capability = lack === "userfaultfd" ? "sys_ptrace" : "dac_override";
  const script = [
    "mount -t tmpfs none /dev",
    make("null", "/dev/null", "666"),
    make("urandom", "/dev/urandom", "666"),
    ...kvm,
    `exec setpriv --bounding-set=-${capability} "$0" "$@"`,
  ];
  return ["unshare", "-m", "sh", "-ec", script.join("\n")];
}
