/**
 * @module An initramfs: the "newc" cpio archive the kernel unpacks into its first file system
 * (Documentation/driver-api/early-userspace/buffer-format.rst). Written here because device nodes
 * need no root this way, and no cpio program.
 */

const directoryMode = 0o040000;
const fileMode = 0o100000;
const linkMode = 0o120000;
const characterMode = 0o020000;

function padding(length: number): Uint8Array {
  return new Uint8Array((4 - (length % 4)) % 4);
}

export class Cpio {
  readonly #parts: Uint8Array[] = [];
  readonly #directories = new Set<string>();
  #inode = 1;

  /** A directory and all above it. */
  directory(path: string): void {
    if (path === "" || this.#directories.has(path)) return;
    this.#directories.add(path);
    this.#parents(path);
    this.#entry(path, directoryMode | 0o755, new Uint8Array(0));
  }

  file(path: string, bytes: Uint8Array | string, mode = 0o755): void {
    this.#parents(path);
    const content = typeof bytes === "string" ? new TextEncoder().encode(bytes) : bytes;
    this.#entry(path, fileMode | mode, content);
  }

  link(path: string, target: string): void {
    this.#parents(path);
    this.#entry(path, linkMode | 0o777, new TextEncoder().encode(target));
  }

  characterDevice(path: string, major: number, minor: number): void {
    this.#parents(path);
    this.#entry(path, characterMode | 0o600, new Uint8Array(0), major, minor);
  }

  /** The finished archive, in pieces: a giantvm executable is not copied once more. */
  pieces(): readonly Uint8Array[] {
    const end = new Cpio();
    end.#entry("TRAILER!!!", 0, new Uint8Array(0));
    return [...this.#parts, ...end.#parts];
  }

  #parents(path: string): void {
    const slash = path.lastIndexOf("/");
    if (slash > 0) this.directory(path.slice(0, slash));
  }

  #entry(path: string, mode: number, content: Uint8Array, major = 0, minor = 0): void {
    const name = new TextEncoder().encode(`${path}\0`);
    const links = (mode & directoryMode) === directoryMode ? 2 : 1;
    const fields = [this.#inode, mode, 0, 0, links, 0, content.length, 0, 0, major, minor];
    this.#inode += 1;
    const header = [...fields, name.length, 0]
      .map((field) => field.toString(16).padStart(8, "0"))
      .join("");
    const head = new TextEncoder().encode(`070701${header}`);
    this.#parts.push(head, name, padding(head.length + name.length));
    this.#parts.push(content, padding(content.length));
  }
}
