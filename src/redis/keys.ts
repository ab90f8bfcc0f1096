import type { ConsumerGroup } from '../backend.js';

/** What a queue keeps in Redis, and under which key. */
export interface QueueKeys {
  /** Stream: the messages that some group has not settled yet. */
  readonly stream: string;
  /** Stream of at most one entry, which wakes a consumer that waits: something came back, or falls due earlier than it knows. */
  readonly bell: string;
  /** Sorted set: messages published with a delay, by the time at which they fall due. */
  readonly delayed: string;
  /** Hash: entries of the stream that are no messages, or too large to be read, by their id. */
  readonly aside: string;
  /** List: what was settled out of order and not removed from the stream yet, in batches. */
  readonly settled: string;
  /** Sorted set: the messages for one group alone that it has not settled, in the order of the stream, then the delayed ones. */
  readonly addressed: string;
  /** What the keys of every group begin with, before `returned:` and `later:`. */
  readonly ofGroups: string;
  /** Sorted set: what a group has to deliver again, in the order of the stream. */
  returned(group: ConsumerGroup): string;
  /** Sorted set: what a group has to deliver again later, by the time at which it falls due. */
  later(group: ConsumerGroup): string;
  /** What the key of each consumer begins with that was taken for dead: a string, for a day. */
  fence(group: ConsumerGroup): string;
  /** String: the number of the last batch that a publisher stored, so that one sent again is not stored again. */
  published(publisher: string): string;
}

/**
 * The keys of a queue. All begin with its name, so that two queues never meet. All have one hash tag,
 * so that they are in one slot of a Redis Cluster. A brace would end the tag early, so braces in a
 * name are percent-encoded, and with them the percent sign. So the ACL patterns `NAME` and
 * `NAME:{NAME}:*` cover one queue and no other.
 */
export function queueKeys(queue: string): QueueKeys {
  const stream = queue.replace(/[%{}]/g, (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`);
  const prefix = `${stream}:{${stream}}`;
  return {
    stream,
    bell: `${prefix}:bell`,
    delayed: `${prefix}:delayed`,
    aside: `${prefix}:aside`,
    settled: `${prefix}:settled`,
    addressed: `${prefix}:addressed`,
    ofGroups: `${prefix}:`,
    returned: (group) => `${prefix}:returned:${group}`,
    later: (group) => `${prefix}:later:${group}`,
    fence: (group) => `${prefix}:fenced:${group}:`,
    published: (publisher) => `${prefix}:published:${publisher}`,
  };
}
