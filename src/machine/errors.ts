/** @module An image or machine that cannot be booted; the message is one sentence. */

export class MachineError extends Error {}
