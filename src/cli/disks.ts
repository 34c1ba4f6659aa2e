/** @module Opens the images of --disk before anything else starts, and says what is wrong. */

import type { DiskConfig } from "../config/disks.ts";
import { isFolder } from "../config/files.ts";
import { NativeError } from "../native/errors.ts";
import { closeImage, type Image, openImage } from "../native/image.ts";
import type { DiskPlan } from "../node/dataplane.ts";
import { exitCode, Failure } from "./failure.ts";

const sectorBytes = 512;

export type OpenDisk = { readonly config: DiskConfig; readonly image: Image };

/** What an errno means for an image, and what to do. */
export function reasonOf(code: string, readOnly: boolean): string {
  switch (code) {
    case "ENOENT":
    case "ENOTDIR":
      return "there is no such file; make it with truncate -s SIZE, or name another";
    case "EACCES":
    case "EPERM":
      return readOnly
        ? "this user may not read it; change its mode or name another"
        : "this user may not write it; change its mode, or give ro";
    case "EROFS":
      return "is on a read-only file system; give ro, or name another";
    case "ENOLCK":
      return (
        "its file system gives no lock against other virtual machines; " +
        "mend that (NFS: its lock service), or keep the image on another"
      );
    case "EAGAIN":
      return (
        "another virtual machine has it open: end that one first" +
        (readOnly ? "" : ", or give ro to both")
      );
    case "EBUSY":
      return "this block device is mounted or in use; unmount it first, or give ro";
    case "ENODEV":
      return "is neither a file nor a block device; name a raw image";
    default:
      return `cannot be opened (${code})`;
  }
}

function refuse(path: string, why: string): never {
  throw new Failure(exitCode.usage, `--disk ${path}: ${why}`);
}

function open(config: DiskConfig): OpenDisk {
  const { path, readOnly } = config;
  if (isFolder(path)) refuse(path, "is a folder; name a raw image");
  let image: Image;
  try {
    image = openImage(path, readOnly);
  } catch (error) {
    if (error instanceof NativeError) refuse(path, reasonOf(error.code, readOnly));
    throw error;
  }
  const { bytes } = image;
  if (bytes > 0 && bytes % sectorBytes === 0) return { config, image };
  closeImage(image);
  if (bytes === 0) return refuse(path, "is empty; give it a size with truncate -s SIZE");
  return refuse(
    path,
    `has ${bytes} bytes, which are no whole sectors of ${sectorBytes}; ` +
      `pad it with truncate -s %${sectorBytes}`,
  );
}

/** All or none: what was opened before one that cannot be is closed again. */
export function openDisks(configs: readonly DiskConfig[]): readonly OpenDisk[] {
  const opened: OpenDisk[] = [];
  try {
    for (const config of configs) opened.push(open(config));
    return opened;
  } catch (error) {
    closeDisks(opened, () => {});
    throw error;
  }
}

/**
 * Flushes and closes; a failure is said, as the guest may have been told of all its data. Not where
 * the VM could not be stopped: a disk may be at work then, and the process' end closes its image.
 */
export function closeDisks(disks: readonly OpenDisk[], say: (text: string) => void): void {
  for (const { config, image } of disks) {
    try {
      closeImage(image);
    } catch (error) {
      const why = error instanceof NativeError ? error.code : String(error);
      say(`--disk ${config.path}: flushing it at the end failed (${why}); check the host's disk`);
    }
  }
}

export function diskPlans(disks: readonly OpenDisk[]): readonly DiskPlan[] {
  return disks.map(({ config, image }) => ({
    image: image.descriptor,
    bytesU64: BigInt(image.bytes),
    readOnly: config.readOnly,
  }));
}
