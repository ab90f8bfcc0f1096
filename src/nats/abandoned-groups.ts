import type { ConsumerInfo } from '@nats-io/jetstream';
import { millis } from '@nats-io/transport-node';
import { shellCommand, warnOfUnreadGroup } from '../core/unread-group.js';
import { LONGEST_TIMER } from '../internal/after.js';
import { describeError } from '../internal/describe.js';
import type { Logger } from '../internal/logger.js';
import type { Counts } from './counts.js';
import type { NatsLink } from './link.js';
import { type QueueNames, readGroup } from './names.js';
import { isForbidden } from './nats-errors.js';
import { isGroup } from './topology.js';

export interface AbandonedGroupsOptions {
  readonly queueName: string;
  readonly names: QueueNames;
  /** The JetStream domain. Undefined: that of the server. */
  readonly domain: string | undefined;
  readonly counts: Counts;
  /** The consumers of the groups that are declared or consumed for here. */
  readonly known: () => ReadonlySet<string>;
  /** The link of now, while there is one. */
  readonly link: () => NatsLink | undefined;
  readonly logger: Logger;
}

/** How long a live consumer may ask for nothing while it holds nothing, in milliseconds: between an acknowledgement and its next request. */
const PAUSE = 250;

/** Warns, once, of groups that this process does not declare and that have no consumer: they retain every message. */
export class AbandonedGroups {
  readonly #options: AbandonedGroupsOptions;
  readonly #timers = new Set<NodeJS.Timeout>();
  #hasLooked = false;
  #stopped = false;

  constructor(options: AbandonedGroupsOptions) {
    this.#options = options;
  }

  /** Looks for them, once, and logs a warning for each. Nothing waits for it. */
  async look(link: NatsLink): Promise<void> {
    if (this.#hasLooked) return;
    this.#hasLooked = true;
    this.#hasLooked = await this.#quietly(async () => {
      const known = this.#options.known();
      const listed = await link.manager.consumers.list(this.#options.names.stream);
      for (const info of listed)
        if (isGroup(info.config) && !known.has(info.name) && info.num_waiting === 0) this.#lookAgain(info);
    });
  }

  stop(): void {
    this.#stopped = true;
    for (const timer of this.#timers) clearTimeout(timer);
    this.#timers.clear();
  }

  /** A live consumer asks for messages, or gets one, or renews the lease of one within the time of the lease. */
  #lookAgain(before: ConsumerInfo): void {
    if (this.#stopped) return;
    const lease = before.num_ack_pending > 0 ? millis(before.config.ack_wait ?? 0) : 0;
    const timer = setTimeout(
      () => {
        this.#timers.delete(timer);
        void this.#quietly(() => this.#confirm(before));
      },
      Math.min(LONGEST_TIMER, PAUSE + lease),
    );
    // The connection keeps the process alive, as long as the queue is open.
    timer.unref();
    this.#timers.add(timer);
  }

  async #confirm(before: ConsumerInfo): Promise<void> {
    const { names, queueName, counts, known, link: current, logger } = this.#options;
    const link = current();
    const { name } = before;
    if (link === undefined || known().has(name)) return;
    const { num_waiting, delivered } = await link.manager.consumers.info(names.stream, name);
    if (
      num_waiting > 0 ||
      delivered.consumer_seq !== before.delivered.consumer_seq ||
      delivered.last_active !== before.delivered.last_active
    )
      return;
    const { held } = await counts.consumer(link, name);
    if (this.#stopped) return;
    const group = readGroup(name) ?? name;
    warnOfUnreadGroup(logger, { queue: queueName, group, count: held, deletion: this.#command(name) });
  }

  /** The command that deletes a group, for a shell. */
  #command(consumer: string): string {
    const { names, domain } = this.#options;
    const parts = [names.stream, consumer];
    const options = domain === undefined ? [] : ['--js-domain', domain];
    const end = parts.some((part) => part.startsWith('-')) ? ['--'] : [];
    return shellCommand(['nats', 'consumer', 'rm', ...options, ...end, ...parts]);
  }

  /** Whatever fails here fails nothing else. Resolves to false where a second attempt may succeed. */
  async #quietly(look: () => Promise<void>): Promise<boolean> {
    const { queueName, logger } = this.#options;
    try {
      await look();
      return true;
    } catch (error) {
      logger.debug(
        `NATS did not tell which groups of queue ${JSON.stringify(queueName)} have no consumer: ${describeError(error)}`,
        {
          queue: queueName,
          error,
        },
      );
      return isForbidden(error);
    }
  }
}
