/** As the client takes it. */
export type Answer = Uint8Array | string;

/** The replies to a delivery of JetStream. They are bytes: the client would encode a text for each message. */
export const ACK = Buffer.from('+ACK');
export const IN_PROGRESS = Buffer.from('+WPI');
export const TERMINATE = Buffer.from('+TERM');

const PER_MILLISECOND = 1_000_000;

/** The longest time that the server can count, in milliseconds: some 285 years. */
const LONGEST = 9e12;

/** Back to the queue, after so many milliseconds. */
export function nak(delay: number): string {
  return delay <= 0 ? '-NAK' : `-NAK {"delay":${Math.ceil(Math.min(delay, LONGEST) * PER_MILLISECOND)}}`;
}
