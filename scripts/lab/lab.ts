/** @module Everything a scenario needs, made ready: packages, the hosts' file system, the clock. */

import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { buildProgram } from "../../tests/zig.ts";
import { diskTools, makeDisk } from "./disk.ts";
import { hostArchive } from "./initramfs.ts";
import { defaultKernel, kernelImage } from "./kernels.ts";
import { hostKernel, LabMissing, packages } from "./packages.ts";
import type { Lab } from "./play.ts";
import { guestProgram } from "./programs.ts";
import type { Scenario } from "./scenarios.ts";
import { tscKhz } from "./tsc.ts";

const program = join(import.meta.dir, "../../dist/giantvm");

/** @throws LabMissing where the lab cannot be built, Error where giantvm has not been built. */
export async function makeLab(say: (line: string) => void): Promise<Lab> {
  if (process.arch !== "x64") throw new LabMissing("the lab needs an x86-64 machine");
  if (!existsSync(program)) throw new Error("dist/giantvm is missing: npm run build");
  const found = packages(say);
  const packagesOf = ({ hostKernel: name }: Scenario) =>
    name === undefined ? found : { ...found, ...hostKernel(name, say) };
  return {
    packages: packagesOf,
    tscKhz: await tscKhz(),
    archive: (scenario, path) => {
      const { guest, kernel = defaultKernel, programs: guestPrograms = [], disk } = scenario;
      const bareEngine = typeof guest === "object" ? [buildProgram("engine_node")] : [];
      const tools = disk ? diskTools(say) : undefined;
      const image = {
        programs: [program, ...bareEngine, ...(tools?.inspectors ?? [])],
        disk: tools === undefined ? undefined : makeDisk(tools, found.busybox),
        kernel: kernelImage(kernel, say),
        guestPrograms: guestPrograms.map((name) => guestProgram(name, say)),
      };
      writeFileSync(path, hostArchive(packagesOf(scenario), image));
    },
  };
}
