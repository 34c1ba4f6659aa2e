/** @module The clear head of a control-plane datagram, 32 bytes (docs/wire.cddl); its twin is
 * native/zig/transport/header.zig. */

export const headerBytes = 32;
const magic = 0x4756;
const version = 1;
const controlPlane = 0;

export type Header = {
  readonly epoch: number;
  readonly source: number;
  readonly destination: number;
  readonly packetU64: bigint;
};

export function writeHeader(header: Header, out: Uint8Array): void {
  const view = new DataView(out.buffer, out.byteOffset, headerBytes);
  view.setUint16(0, magic);
  view.setUint8(2, version);
  view.setUint8(3, controlPlane);
  view.setUint32(16, header.epoch);
  view.setUint8(20, header.source);
  view.setUint8(21, header.destination);
  view.setBigUint64(24, header.packetU64);
}

/** undefined for anything that is not a control-plane datagram of this version. */
export function readHeader(datagram: Uint8Array): Header | undefined {
  if (datagram.length < headerBytes) return undefined;
  const view = new DataView(datagram.buffer, datagram.byteOffset, headerBytes);
  const known =
    view.getUint16(0) === magic &&
    view.getUint8(2) === version &&
    view.getUint8(3) === controlPlane &&
    view.getUint32(4) === 0 &&
    view.getBigUint64(8) === 0n &&
    view.getUint8(22) === 0 &&
    view.getUint8(23) === 0;
  if (!known) return undefined;
  return {
    epoch: view.getUint32(16),
    source: view.getUint8(20),
    destination: view.getUint8(21),
    packetU64: view.getBigUint64(24),
  };
}
