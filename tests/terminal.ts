/** @module A pseudo-terminal for one program, so that tests can type and see what it does to it. */

/** A terminal of its own for one program, with what it printed and a way to await words. */
export function onTerminal(command: readonly string[]) {
  let text = "";
  const waiting = new Set<() => void>();
  const wake = () => {
    for (const each of waiting) each();
  };
  const terminal = new Bun.Terminal({
    data: (_terminal, bytes) => {
      text += new TextDecoder().decode(bytes);
      wake();
    },
  });
  const before = terminal.localFlags;
  const child = Bun.spawn([...command], { terminal });
  return {
    terminal,
    child,
    before,
    text: () => text,
    async printed(words: string): Promise<void> {
      while (!text.includes(words)) {
        const { promise, resolve } = Promise.withResolvers<void>();
        waiting.add(resolve);
        await promise;
        waiting.delete(resolve);
      }
    },
    async [Symbol.asyncDispose]() {
      child.kill("SIGKILL");
      await child.exited;
      terminal.close();
    },
  };
}
