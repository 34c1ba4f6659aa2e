/** @module Everything a scenario needs, made ready: packages, the hosts' file system, the clock. */

import { existsSync } from "node:fs";
import { join } from "node:path";
import { buildProgram } from "../../tests/zig.ts";
import { diskTools, makeDisk } from "./disk.ts";
import { hostArchive } from "./initramfs.ts";
import { LabMissing, packages } from "./packages.ts";
import type { Lab } from "./play.ts";
import { tscKhz } from "./tsc.ts";

const program = join(import.meta.dir, "../../dist/giantvm");

/** @throws LabMissing where the lab cannot be built, Error where giantvm has not been built. */
export async function makeLab(say: (line: string) => void): Promise<Lab> {
  if (process.arch !== "x64") throw new LabMissing("the lab needs an x86-64 machine");
  if (!existsSync(program)) throw new Error("dist/giantvm is missing: npm run build");
  const found = packages(say);
  const tools = diskTools(say);
  const programs = [program, buildProgram("engine_node"), ...tools.inspectors];
  const archive = hostArchive(found, programs, makeDisk(tools, found.busybox));
  return { packages: found, archive, tscKhz: await tscKhz() };
}
