import type { ConsumerGroup } from '../backend.js';
import { safeName } from '../core/safe-name.js';

/** The most bytes of the name of a queue or group: with suffixes, AMQP allows 255 bytes. */
const MOST = 100;

/** The names of a queue's objects on the broker. */
export interface QueueNames {
  /** The exchange to all groups. All other names begin with this one and a colon. */
  readonly exchange: string;
  /**
   * The quarantine, a queue and the exchange to it: for unreadable messages, and for messages that
   * a policy removes from a group.
   */
  readonly quarantine: string;
  /** The prefix of the levels that delay a publish to all groups. */
  readonly delay: string;
  group(group: ConsumerGroup): GroupNames;
}

/** The names of a group's objects on the broker. */
export interface GroupNames {
  /** The queue of the group, and the exchange for messages to this group only. */
  readonly queue: string;
  /** The queue of delayed nacks that are due, and the exchange to it. It is consumed first. */
  readonly again: string;
  /** The prefix of the levels that delay a nack. */
  readonly delay: string;
  /** The prefix of the levels that delay a publish to this group only. */
  readonly publishDelay: string;
}

export function queueNames(queue: string): QueueNames {
  const exchange = safeName(queue, MOST);
  return {
    exchange,
    quarantine: `${exchange}:aside`,
    delay: `${exchange}:delay`,
    group: (group) => {
      const name = `${exchange}:group:${safeName(group, MOST)}`;
      return { queue: name, again: `${name}:again`, delay: `${name}:delay`, publishDelay: `${name}:publish` };
    },
  };
}

/** Names the exchange and the queue of one level of a delay. */
export function levelName(delay: string, level: number): string {
  return `${delay}:${level}`;
}
