/** @module What this executable is; build.ts puts the values in. */

export const version: string = process.env.GIANTVM_VERSION ?? "0.0.0-source";
/** Hash of the library and the sources: nodes of different builds refuse each other. */
export const buildId: string = process.env.GIANTVM_BUILD ?? "source";
