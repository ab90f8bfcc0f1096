import { setTimeout as sleep } from 'node:timers/promises';
import type { ConsumerInfo } from '@nats-io/jetstream';
import { millis } from '@nats-io/transport-node';
import { shellCommand, type UnreadGroup, UnreadGroups } from '../core/unread-group.js';
import { LONGEST_TIMER } from '../internal/after.js';
import type { Counts } from './counts.js';
import type { NatsLink } from './link.js';
import { readGroup } from './names.js';
import { isForbidden, isNotFound } from './nats-errors.js';
import type { CheckedNatsOptions } from './options.js';
import type { NatsQueue } from './queue.js';
import { isGroup } from './topology.js';

export interface UnreadOptions {
  readonly counts: Counts;
  /** Whether this process declares or consumes the group of a consumer. */
  readonly isKnown: (consumer: string) => boolean;
  readonly signal: AbortSignal;
}

/** How long a live consumer may be idle between an ack and its next request, in milliseconds. */
export const PAUSE = 250;

/**
 * Finds the groups that this process does not declare and that have no consumer. The server does
 * not say whether a group has one, so this looks twice: within the time of a lease, a live consumer
 * requests or receives messages, or renews a lease.
 */
export function unreadGroups(queue: NatsQueue, { counts, isKnown, signal }: UnreadOptions): UnreadGroups<NatsLink> {
  const { names, connection } = queue;
  const { name, domain, logger } = queue.options;

  async function* find(link: NatsLink): AsyncGenerator<UnreadGroup> {
    const listed = await link.manager.consumers.list(names.stream);
    const listedAt = performance.now();
    const idle = listed.filter((info) => isGroup(info.config) && !isKnown(info.name) && info.num_waiting === 0);
    for (const before of idle.sort((one, other) => pauseFor(one) - pauseFor(other))) {
      const pause = Math.min(LONGEST_TIMER, Math.max(1, listedAt + pauseFor(before) - performance.now()));
      // The connection keeps the process alive as long as the queue is open.
      await sleep(pause, undefined, { ref: false, signal }).catch(() => {});
      if (signal.aborted) return;
      if (isKnown(before.name)) continue;
      const count = await connection.request(signal, (current) => countIfUnread(current, before));
      const group = readGroup(before.name) ?? before.name;
      if (count !== undefined)
        yield { queue: name, group, count, deletion: deletionOf({ domain }, names.stream, before.name) };
    }
  }

  /** Counts the messages of a group. Resolves to undefined if it has a consumer, or is gone. */
  async function countIfUnread(link: NatsLink, before: ConsumerInfo): Promise<number | undefined> {
    try {
      const { num_waiting, delivered } = await link.manager.consumers.info(names.stream, before.name);
      const { consumer_seq, last_active } = before.delivered;
      if (num_waiting > 0 || delivered.consumer_seq !== consumer_seq || delivered.last_active !== last_active)
        return undefined;
      return (await counts.unsettled(link, before.name)).all;
    } catch (error) {
      if (isNotFound(error)) return undefined;
      throw error;
    }
  }

  return new UnreadGroups({ queue: name, logger, find, isFinal: isForbidden });
}

function pauseFor({ num_ack_pending, config }: ConsumerInfo): number {
  return PAUSE + (num_ack_pending > 0 ? millis(config.ack_wait ?? 0) : 0);
}

/** Returns the command that deletes a group. */
export function deletionOf({ domain }: Pick<CheckedNatsOptions, 'domain'>, ...parts: readonly string[]): string {
  const options = domain === undefined ? [] : ['--js-domain', domain];
  const end = parts.some((part) => part.startsWith('-')) ? ['--'] : [];
  return shellCommand(['nats', 'consumer', 'rm', ...options, ...end, ...parts]);
}
