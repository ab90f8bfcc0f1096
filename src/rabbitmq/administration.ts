import type { ConsumerGroup, GroupInfo, QueueStats } from '../backend.js';
import { DEFAULT_GROUP } from '../bridge/consume-options.js';
import type { DriverAdministration } from '../core/driver.js';
import { UnsupportedOperationError } from '../errors.js';
import { Counts } from './counts.js';
import type { DelayedMessages } from './delayed-messages.js';
import type { GroupConsumer } from './group-consumer.js';
import type { RabbitLink } from './link.js';
import type { QueueNames } from './names.js';
import { Setup } from './topology.js';
import { totalOf } from './totals.js';

/** Asks something over a connection, and again when that is lost, until the signal aborts. */
export type Ask = <Answer>(signal: AbortSignal, ask: (link: RabbitLink) => Promise<Answer>) => Promise<Answer>;

export interface AdministrationOptions {
  readonly queueName: string;
  readonly names: QueueNames;
  /** The declared groups. */
  readonly groups: readonly ConsumerGroup[];
  readonly delayed: DelayedMessages;
  /** The subscribers of this process to a group. */
  readonly consumerOf: (group: ConsumerGroup) => GroupConsumer | undefined;
  readonly ask: Ask;
  readonly count: (group: ConsumerGroup, signal: AbortSignal) => Promise<QueueStats>;
}

/** Looks after the groups of a queue on RabbitMQ, as far as AMQP lets a client do that. */
export class Administration implements DriverAdministration {
  readonly #options: AdministrationOptions;

  constructor(options: AdministrationOptions) {
    this.#options = options;
  }

  /**
   * Lists the declared groups, and `default` if it exists. AMQP cannot list queues, so other groups
   * stay unseen: `rabbitmqctl list_queues` shows them. `consumers` counts the subscribers of all
   * processes, but none that pauses.
   */
  async groups(signal: AbortSignal): Promise<Omit<GroupInfo, 'declared'>[]> {
    const { groups, names, ask, count } = this.#options;
    const consumers = await ask(signal, async (link) => {
      const counts = new Counts(link, signal);
      const found = new Map<ConsumerGroup, number>();
      for (const group of new Set([...groups, DEFAULT_GROUP])) {
        const queue = await counts.look(names.group(group).queue);
        if (queue !== undefined || groups.includes(group)) found.set(group, queue?.consumerCount ?? 0);
      }
      await counts.close();
      return found;
    });
    const infos: Omit<GroupInfo, 'declared'>[] = [];
    for (const [name, subscribers] of consumers)
      infos.push({ name, ...(await count(name, signal)), consumers: subscribers });
    return infos;
  }

  /**
   * Deletes the queues and exchanges of a group, with their messages. Resolves to whether there was
   * such a group. A process that consumes for the group declares it again.
   */
  deleteGroup(group: ConsumerGroup, signal: AbortSignal): Promise<boolean> {
    const { names, delayed, ask } = this.#options;
    const { queue, again, delay, publishDelay } = names.group(group);
    // Also if the connection is lost after a queue was deleted.
    let existed = false;
    return ask(signal, async (link) => {
      const counts = new Counts(link, signal);
      for (const name of [queue, again]) existed ||= (await counts.look(name)) !== undefined;
      // The queue of the group comes last: if something fails before, the next call still finds the
      // group.
      const all = [...(await counts.levels(publishDelay)), ...(await counts.levels(delay)), again, queue];
      await counts.close();
      const setup = new Setup(link);
      for (const name of all) {
        await setup.declare((channel) => channel.exchangeDelete({ exchange: name }));
        await setup.declare((channel) => channel.queueDelete({ queue: name }));
      }
      await setup.close();
      delayed.purged(group);
      return existed;
    });
  }

  /** @throws {UnsupportedOperationError} (a rejection): AMQP shows no message without taking it */
  async peek(group: ConsumerGroup): Promise<never> {
    const { queueName, names } = this.#options;
    throw new UnsupportedOperationError(
      `RabbitMQ cannot show the messages of queue ${JSON.stringify(queueName)} without taking them. Use "Get messages" ` +
        `of the queue ${JSON.stringify(names.group(group).queue)} in RabbitMQ's management UI, ` +
        'or take messages with `deliveries()` and `release()` them',
    );
  }

  /**
   * Removes the messages that wait, are delayed, or were prefetched here and not emitted. A message
   * that another process has prefetched is in flight. A message that one of the broker's queues
   * hands to the next at this moment may stay.
   *
   * Messages that were published with a delay for every group share their queues. They are removed
   * with all groups, or with the only declared one.
   *
   * Resolves to how many messages were removed. Over all groups each message counts once, as in
   * `stats()`: a message for one group only adds up, and of the others the group counts from which
   * most were removed. If the broker's answer is lost with a connection, what it has removed does
   * not count.
   */
  async purge(group: ConsumerGroup | undefined, signal: AbortSignal): Promise<number> {
    const { groups, names, delayed, ask, consumerOf } = this.#options;
    const purged = group === undefined ? groups : [group];
    const sharedDelay = groups.every((each) => purged.includes(each));
    const removed = new Map(purged.map((each) => [each, { waiting: 0, only: 0 }]));
    let shared = 0;
    await Promise.all(purged.map((each) => consumerOf(each)?.returned()));
    await ask(signal, async (link) => {
      const counts = new Counts(link, signal);
      const setup = new Setup(link);
      const remove = async (queues: readonly string[], add: (count: number) => void) => {
        for (const queue of queues)
          await setup.declare(async (channel) => add((await channel.queuePurge({ queue })).messageCount));
      };
      if (sharedDelay)
        await remove(await counts.levels(names.delay), (count) => {
          shared += count;
        });
      for (const [each, sums] of removed) {
        const { queue, again, delay, publishDelay } = names.group(each);
        await remove(await counts.levels(publishDelay), (count) => {
          sums.only += count;
        });
        const waiting: string[] = [];
        for (const name of [again, queue]) if ((await counts.look(name)) !== undefined) waiting.push(name);
        await remove([...(await counts.levels(delay)), ...waiting], (count) => {
          sums.waiting += count;
        });
      }
      await Promise.all([counts.close(), setup.close()]);
    });
    for (const [each, sums] of removed) {
      const consumer = consumerOf(each);
      // What the broker had delivered before is here now.
      await consumer?.arrived();
      sums.waiting += (await consumer?.purge()) ?? 0;
      delayed.purged(each);
    }
    const all = [...removed].map(([each, { waiting, only }]) => {
      const alone = only + delayed.oneGroup.countAmong(each, waiting);
      const count = waiting + only;
      return { all: { ready: count, unfinished: count }, only: { ready: alone, unfinished: alone } };
    });
    return shared + totalOf(all).ready;
  }
}
