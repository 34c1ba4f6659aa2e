/** @module The options of `giantvm run` as one table; help text and parsers are made from it. */

export type Option = {
  readonly name: string;
  /** What the value is; a switch has none. */
  readonly value?: string;
  readonly short?: string;
  readonly help: string;
  /** May be given several times; what the values are joined with. */
  readonly several?: "," | " ";
  /** For tests, not in the help: taken as a flag only, so that no file weakens a real run. */
  readonly hidden?: boolean;
};

export const runOptions: readonly Option[] = [
  { name: "local-cpu", value: "N", help: "vCPUs of this node (1)" },
  { name: "local-memory", value: "SIZE", help: "memory this node gives, e.g. 10G (512M)" },
  { name: "memory", value: "TOTAL", help: "memory of the VM in equal shares, instead" },
  {
    name: "cache-memory",
    value: "SIZE",
    help: "for pages of other nodes, beside that (what this host has left)",
  },
  {
    name: "peers",
    value: "LIST",
    several: ",",
    help: "all nodes in order, this one included: host[:port],... (none: alone)",
  },
  { name: "self", value: "HOST[:PORT]", help: "which of --peers this node is, if not clear" },
  {
    name: "disk",
    value: "path=FILE",
    several: ",",
    help: "raw image as a virtio disk, path=FILE[,ro][,node=K]; once for each disk",
  },
  { name: "kernel", value: "FILE", help: "Linux, PVH or multiboot kernel; only node 0 reads it" },
  { name: "initrd", value: "FILE", help: "initial RAM disk or first module; only node 0 reads it" },
  {
    name: "modules",
    value: "LIST",
    several: ",",
    help: "multiboot, PVH: more modules, FILE[ TEXT],...",
  },
  { name: "append", value: "TEXT", several: " ", help: "added to the kernel's tuned command line" },
  { name: "command-line", value: "TEXT", help: "kernel command line instead of the tuned one" },
  { name: "builtin", help: "run the built-in guest (the default without --kernel)" },
  { name: "device-node", value: "K", help: "node that has the VM's devices, by place (0)" },
  { name: "console-node", value: "K", help: "node whose terminal is the VM's console (0)" },
  { name: "silence", value: "MS", help: "a node silent for so long is lost (2000)" },
  { name: "join-timeout", value: "S", help: "how long to wait for the peers at start (60)" },
  { name: "spin", value: "US", help: "how long the engine polls before it sleeps (0)" },
  {
    name: "hide-cpu",
    value: "NAMES",
    several: ",",
    help: "processor features to hide, e.g. xsave",
  },
  { name: "control", value: "PATH", help: "a socket for giantvm debug and giantvm hot" },
  { name: "report", value: "FILE", help: "write counters and the outcome as JSON at the end" },
  { name: "config", value: "FILE", help: "options from a TOML or JSON file" },
  { name: "verbose", short: "v", help: "say on stderr what happens" },
  { name: "log-format", value: "FORMAT", help: "log as text or json (text)" },
  { name: "guard-off", value: "NAME", help: "", hidden: true },
  { name: "scale", value: "PERCENT", help: "", hidden: true },
  { name: "scratch-node", value: "N", help: "", hidden: true },
  { name: "scratch-delay", value: "MS", help: "", hidden: true },
  { name: "fault", value: "NAME", help: "", hidden: true },
];

/** The environment's name of an option. */
export function variableOf(name: string): string {
  return `GIANTVM_${name.toUpperCase().replaceAll("-", "_")}`;
}
