/**
 * @module The clear head of a control-plane datagram, 32 bytes (docs/wire.cddl); its twin is
 * native/zig/transport/header.zig. Magic, version and plane are where they are in every version.
 */

export const headerBytes = 32;
const magic = 0x4756;
export const headerVersion = 1;
const controlPlane = 0;

export type Header = {
  /** A number drawn at the start of the sending process: a restarted node is another sender. */
  readonly instanceU64: bigint;
  /** Low half of the receiver's instance, 0 while the sender has not heard of it. */
  readonly toward: number;
  readonly source: number;
  readonly destination: number;
  readonly packetU64: bigint;
};

export function writeHeader(header: Header, out: Uint8Array): void {
  const view = new DataView(out.buffer, out.byteOffset, headerBytes);
  view.setUint16(0, magic);
  view.setUint8(2, headerVersion);
  view.setUint8(3, controlPlane);
  view.setBigUint64(8, header.instanceU64);
  view.setUint32(16, header.toward);
  view.setUint8(20, header.source);
  view.setUint8(21, header.destination);
  view.setBigUint64(24, header.packetU64);
}

/** The version of a control-plane datagram, of any version; undefined for what is none. */
export function versionOf(datagram: Uint8Array): number | undefined {
  if (datagram.length < headerBytes) return undefined;
  const view = new DataView(datagram.buffer, datagram.byteOffset, headerBytes);
  const ours = view.getUint16(0) === magic && view.getUint8(3) === controlPlane;
  return ours ? view.getUint8(2) : undefined;
}

/** undefined for anything that is not a control-plane datagram of this version. */
export function readHeader(datagram: Uint8Array): Header | undefined {
  if (versionOf(datagram) !== headerVersion) return undefined;
  const view = new DataView(datagram.buffer, datagram.byteOffset, headerBytes);
  const instanceU64 = view.getBigUint64(8);
  const known =
    view.getUint32(4) === 0 &&
    instanceU64 !== 0n &&
    view.getUint8(22) === 0 &&
    view.getUint8(23) === 0;
  if (!known) return undefined;
  return {
    instanceU64,
    toward: view.getUint32(16),
    source: view.getUint8(20),
    destination: view.getUint8(21),
    packetU64: view.getBigUint64(24),
  };
}
