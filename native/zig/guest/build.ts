/**
 * @module How the built-in guest becomes dist/guest.bin: freestanding Zig without SSE (ring 0 may
 * be emulated, integer only; ring 3 code is compiled the same way), then the flat bytes of the
 * image.
 */

/** For each of the guest's modules. */
const flags = [
  "-target",
  "x86_64-freestanding-none",
  "-mcpu=baseline-sse-sse2-mmx+soft_float",
  "-O",
  "ReleaseSmall",
  "-mno-red-zone",
  "-fno-PIC",
  "-mcmodel=small",
  "-fstrip",
];

/** Commands for build.ts, run in the root of the checkout in this order. */
export function guestBuildCommands(zig: string, dist: string): readonly (readonly string[])[] {
  const elf = `${dist}/build/guest.elf`;
  return [
    [
      zig,
      "build-exe",
      "--dep",
      "litmus",
      "--dep",
      "map",
      ...flags,
      "-Mroot=native/zig/guest/main.zig",
      ...flags,
      "-Mlitmus=native/zig/litmus/litmus.zig",
      ...flags,
      "-Mmap=native/zig/devices/map.zig",
      "-T",
      "native/zig/guest/guest.ld",
      `-femit-bin=${elf}`,
    ],
    [zig, "objcopy", "-O", "binary", elf, `${dist}/guest.bin`],
  ];
}
