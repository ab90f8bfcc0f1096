const SLOTS = 16_384;
const POLYNOMIAL = 0x1021;

/** Computes the slot of a key in a Redis Cluster, for a key without braces: its CRC-16/XMODEM, modulo the number of slots. */
export function slotOf(key: string): number {
  let crc = 0;
  for (const byte of Buffer.from(key)) {
    crc ^= byte << 8;
    for (let bit = 0; bit < 8; bit++) crc = ((crc << 1) ^ (crc & 0x8000 ? POLYNOMIAL : 0)) & 0xffff;
  }
  return crc % SLOTS;
}
