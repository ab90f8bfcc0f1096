import type { ConsumerGroup } from '../backend.js';
import { safeName } from '../core/safe-name.js';

/** How long the names of queues and groups may be, in bytes: together with what follows them they have to fit the 255 of AMQP. */
const MOST = 100;

/** What a queue keeps on the broker, and under which name. */
export interface QueueNames {
  /** Exchange: what is published goes to all groups. Everything else begins with this name and a colon. */
  readonly exchange: string;
  /** Queue, and the exchange to it: the quarantine, for unreadable messages and for those that a policy removes from the queues of groups. */
  readonly quarantine: string;
  /** The way of a delayed publish, to the exchange. */
  readonly delay: string;
  group(group: ConsumerGroup): GroupNames;
}

/** What a group keeps on the broker. */
export interface GroupNames {
  /** Queue: the messages of the group. Also the exchange to it, for messages to this group only. */
  readonly queue: string;
  /** Queue, and the exchange to it: those that were nacked with a delay, when they are due. They come before the others. */
  readonly again: string;
  /** The way of a nack with a delay, to the queue `again`. */
  readonly delay: string;
  /** The way of a delayed publish to this group only, to the exchange `queue`. */
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
