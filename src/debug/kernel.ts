/**
 * @module Where a Linux kernel has put itself: how far its image was moved (KASLR), where its
 * direct map and its per-CPU areas are, and so what a page of physical memory is to it
 * (Documentation/arch/x86/x86_64/mm.rst). Pure but for the reader it is given.
 */

import { isPaged, type Paging, type ReadPhysical, readVirtual, translate } from "./paging.ts";
import type { Symbols } from "./symbols.ts";

const imageFirst = 0xffff_ffff_8000_0000n;
const imageEnd = 0xffff_ffff_c000_0000n;
const largePage = 1n << 21n;
const pageBytes = 4096n;
const directMapDefault = 0xffff_8880_0000_0000n;
const namesShown = 3;

export type Kernel = {
  readonly symbols: Symbols;
  /** What a page is to the kernel; undefined where nothing is known. */
  describe(gpa: bigint): string | undefined;
};

/** How far the image lies from where its symbols say. */
async function movedBy(paging: Paging, read: ReadPhysical, symbols: Symbols): Promise<bigint> {
  const text = symbols.addressOf("_text") ?? symbols.addressOf("_stext");
  // Before the kernel maps itself nothing can be told.
  if (text === undefined || !isPaged(paging)) return 0n;
  for (let at = imageFirst; at < imageEnd; at += largePage) {
    const found = await translate(paging, read, at);
    if ("missing" in found) continue;
    // The whole range is mapped until the kernel has cleaned up: nothing can be told yet.
    return at === imageFirst ? 0n : at - (text & ~(largePage - 1n));
  }
  return 0n;
}

async function wordAt(
  paging: Paging,
  read: ReadPhysical,
  address: bigint | undefined,
): Promise<bigint | undefined> {
  if (address === undefined) return undefined;
  try {
    const bytes = await readVirtual(paging, read, address, 8);
    if (bytes.length < 8) return undefined;
    return new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true);
  } catch {
    // No RAM there, or a page that does not come: what depends on it stays unknown.
    return undefined;
  }
}

function listed(names: readonly string[]): string {
  const more = names.length - namesShown;
  return names.slice(0, namesShown).join(", ") + (more > 0 ? ` and ${more} more` : "");
}

/** Looks the kernel up in the memory of a vCPU whose tables map it. */
export async function findKernel(
  paging: Paging,
  read: ReadPhysical,
  unmoved: Symbols,
  cpus: number,
): Promise<Kernel> {
  const symbols = unmoved.moved(await movedBy(paging, read, unmoved));
  const [text, end] = [symbols.addressOf("_text"), symbols.addressOf("_end")];
  const known = text !== undefined && isPaged(paging);
  const image = known ? await translate(paging, read, text) : undefined;
  const imageGpa = image !== undefined && "gpa" in image ? image.gpa : undefined;
  const baseAt = symbols.addressOf("page_offset_base");
  const directMap = (await wordAt(paging, read, baseAt)) ?? directMapDefault;
  const offsetsAt = symbols.addressOf("__per_cpu_offset");
  const areas: bigint[] = [];
  for (let cpu = 0; cpu < cpus; cpu += 1) {
    const at = offsetsAt === undefined ? undefined : offsetsAt + 8n * BigInt(cpu);
    areas.push((await wordAt(paging, read, at)) ?? 0n);
  }
  const areaBytes = symbols.addressOf("__per_cpu_end") ?? 0n;
  return {
    symbols,
    describe(gpa) {
      if (imageGpa !== undefined && text !== undefined && end !== undefined) {
        const at = gpa - imageGpa + text;
        if (at >= text && at < end) return listed(symbols.within(at, at + pageBytes));
      }
      const at = directMap + gpa;
      const cpu = areas.findIndex((area) => area !== 0n && at >= area && at < area + areaBytes);
      const area = areas[cpu];
      if (area === undefined) return undefined;
      const within = at - area;
      return `CPU ${cpu}: ${listed(symbols.within(within, within + pageBytes))}`;
    },
  };
}
