/** @module For tests: something of this process goes wrong while its vCPUs run. */

const lookMs = 10;

/** @param fault "throw" in a timer, "reject" a promise nobody awaits, or "none". */
export function breakDown(fault: string, exits: () => number): void {
  if (fault === "none") return;
  const timer = setInterval(() => {
    if (exits() === 0) return;
    clearInterval(timer);
    const error = new Error("told to fail");
    if (fault === "throw") throw error;
    void Promise.reject(error);
  }, lookMs);
}
