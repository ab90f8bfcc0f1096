import type { ConsumerGroup } from '../backend.js';

/** The consumer of pending messages that wait for redelivery. No process reads by this name. */
export const PARKED = 'sluice:parked';

/** The keys of a queue. */
export interface QueueKeys {
  /** Stream: the messages that some group has not settled. */
  readonly stream: string;
  /** Stream of one entry, which wakes a consumer: a message was requeued, or is due earlier. */
  readonly wakeStream: string;
  /** Sorted set: delayed messages, by the time at which they become due. */
  readonly delayed: string;
  /** Hash: entries of the stream that are invalid or too large to be read, by id. */
  readonly quarantine: string;
  /** List: batches of messages that were settled out of order and are still in the stream. */
  readonly settled: string;
  /** Sorted set: unsettled messages to one group, in the order of the stream, then delayed ones. */
  readonly addressed: string;
  /** The prefix of the keys of a group, before `returned:` and `later:`. */
  readonly groupPrefix: string;
  /** The prefix of strings that remember published ids, until their deduplication window ends. */
  readonly idPrefix: string;
  /** Sorted set: messages that a group redelivers, in the order of the stream. */
  requeued(group: ConsumerGroup): string;
  /** Sorted set: messages that a group redelivers later, by the time at which they become due. */
  retries(group: ConsumerGroup): string;
  /** The prefix of the strings that fence consumers whose lease has expired, each for a day. */
  fence(group: ConsumerGroup): string;
  /** String: the number of a publisher's last batch. A batch that is sent again is stored once. */
  published(publisher: string): string;
}

/**
 * Names the keys of a queue. All begin with its name, so that two queues never meet. All have one
 * hash tag, so that they are in one slot of a Redis Cluster. A brace would end the tag early, so
 * braces in a name are percent-encoded, and with them the percent sign. So the ACL patterns `NAME`
 * and `NAME:{NAME}:*` cover one queue and no other.
 */
export function queueKeys(queue: string): QueueKeys {
  const stream = queue.replace(/[%{}]/g, (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`);
  const prefix = `${stream}:{${stream}}:`;
  return {
    stream,
    wakeStream: `${prefix}bell`,
    delayed: `${prefix}delayed`,
    quarantine: `${prefix}aside`,
    settled: `${prefix}settled`,
    addressed: `${prefix}addressed`,
    groupPrefix: prefix,
    idPrefix: `${prefix}id:`,
    requeued: (group) => `${prefix}returned:${group}`,
    retries: (group) => `${prefix}later:${group}`,
    fence: (group) => `${prefix}fenced:${group}:`,
    published: (publisher) => `${prefix}published:${publisher}`,
  };
}

/** How many slots a Redis Cluster has. */
const SLOTS = 16_384;

const POLYNOMIAL = 0x1021;

/** Computes the slot of a key without braces: its CRC-16/XMODEM, modulo the number of slots. */
export function slotOf(key: string): number {
  let crc = 0;
  for (const byte of Buffer.from(key)) {
    crc ^= byte << 8;
    for (let bit = 0; bit < 8; bit++) crc = ((crc << 1) ^ (crc & 0x8000 ? POLYNOMIAL : 0)) & 0xffff;
  }
  return crc % SLOTS;
}
