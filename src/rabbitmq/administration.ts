import type { ConsumerGroup, GroupInfo, QueueDiagnosis, QueueStats } from '../backend.js';
import { DEFAULT_GROUP } from '../bridge/consume-options.js';
import type { DriverAdministration } from '../core/driver.js';
import { UnsupportedOperationError } from '../errors.js';
import type { QueueContext } from './context.js';
import { countMessages, type GroupConsumers, totalOf } from './counts.js';
import { diagnose, type Facts } from './diagnosis.js';
import type { RabbitLink } from './link.js';
import type { GroupNames } from './names.js';
import { QueueRequests } from './queue-requests.js';

/** Sends requests over a connection, and again if it is lost, until the signal aborts. */
export type Ask = <Answer>(signal: AbortSignal, ask: (link: RabbitLink) => Promise<Answer>) => Promise<Answer>;

/** Counts, lists, purges and deletes the groups of a queue, as far as AMQP allows. */
export class Administration implements DriverAdministration {
  readonly #context: QueueContext;
  readonly #consumers: GroupConsumers;
  readonly #ask: Ask;
  readonly #facts: () => Facts;

  /**
   * @param consumers the consumers of this process
   * @param facts returns what the connections know about the server
   */
  constructor(context: QueueContext, consumers: GroupConsumers, ask: Ask, facts: () => Facts) {
    this.#facts = facts;
    this.#context = context;
    this.#consumers = consumers;
    this.#ask = ask;
  }

  /** @param group undefined: every group */
  count(group: ConsumerGroup | undefined, signal: AbortSignal): Promise<QueueStats> {
    return this.#ask(signal, async (link) => {
      await this.#check(link, group);
      const requests = new QueueRequests(link, signal);
      const groups = group === undefined ? this.#context.groups : [group];
      const stats = await countMessages(requests, this.#context, groups, this.#consumers);
      await requests.close();
      return stats;
    });
  }

  /**
   * Lists the declared groups, and `default` if it exists. AMQP cannot list queues, so other groups
   * do not appear: `rabbitmqctl list_queues` shows them. `consumers` counts the subscribers of all
   * processes that do not pause.
   */
  groups(signal: AbortSignal): Promise<Omit<GroupInfo, 'declared'>[]> {
    const { groups, names, existence } = this.#context;
    return this.#ask(signal, async (link) => {
      await this.#check(link);
      const requests = new QueueRequests(link, signal);
      const infos: Omit<GroupInfo, 'declared'>[] = [];
      for (const name of new Set([...groups, DEFAULT_GROUP])) {
        const queue = await requests.look(names.group(name).queue);
        if (queue === undefined && !existence.groups.includes(name)) continue;
        const stats = await countMessages(requests, this.#context, [name], this.#consumers);
        infos.push({ name, ...stats, consumers: queue?.consumerCount ?? 0 });
      }
      await requests.close();
      return infos;
    });
  }

  /**
   * Deletes the queues and exchanges of a group, with their messages. Resolves to whether the group
   * existed. A process that consumes for the group declares it again.
   */
  deleteGroup(group: ConsumerGroup, signal: AbortSignal): Promise<boolean> {
    const { names, delayed } = this.#context;
    const { queue, again, delay, publishDelay } = names.group(group);
    // Stays true if the connection is lost after a queue was deleted.
    let existed = false;
    return this.#ask(signal, async (link) => {
      await this.#check(link);
      const requests = new QueueRequests(link, signal);
      for (const name of [queue, again]) existed ||= (await requests.look(name)) !== undefined;
      const levels = [...(await requests.levels(publishDelay)), ...(await requests.levels(delay))];
      // The queue of the group comes last: if something fails before, the next call still finds the
      // group.
      for (const name of [...levels, again, queue]) await requests.delete(name);
      await requests.close();
      delayed.purged(group);
      return existed;
    });
  }

  /** @throws {UnsupportedOperationError} (a rejection): AMQP shows no message without taking it */
  async peek(group: ConsumerGroup): Promise<never> {
    const { queueName, names } = this.#context;
    throw new UnsupportedOperationError(
      `RabbitMQ cannot show the messages of queue ${JSON.stringify(queueName)} without taking them. Use "Get messages" ` +
        `of the queue ${JSON.stringify(names.group(group).queue)} in RabbitMQ's management UI, ` +
        'or take messages with `deliveries()` and `release()` them',
    );
  }

  /**
   * Removes the messages that wait, are delayed, or were prefetched here and not emitted. A message
   * that another process has prefetched is in flight. A message that moves from one of the broker's
   * queues to another at this moment may stay.
   *
   * Messages that were published with a delay for every group share their queues. They are removed
   * with all groups, or with the only declared one.
   *
   * Resolves to how many messages were removed, counted over all groups as in `stats()`. If the
   * broker's answer is lost with a connection, the messages that it removed do not count.
   */
  async purge(group: ConsumerGroup | undefined, signal: AbortSignal): Promise<number> {
    const { groups, names, delayed } = this.#context;
    const purged = group === undefined ? groups : [group];
    const sharedDelay = groups.every((each) => purged.includes(each));
    const removed = new Map(purged.map((each) => [each, { waiting: 0, only: 0 }]));
    const shared = { waiting: 0, only: 0 };
    await Promise.all(purged.map((each) => this.#consumers.get(each)?.requeued()));
    await this.#ask(signal, async (link) => {
      await this.#check(link, group);
      const requests = new QueueRequests(link, signal);
      // Adds up queue by queue: the connection may be lost between two of them.
      const remove = async (queues: readonly string[], sums: typeof shared, kind: keyof typeof shared) => {
        for (const queue of queues) {
          const { messageCount } = await requests.send((channel) => channel.queuePurge({ queue }));
          sums[kind] += messageCount;
        }
      };
      if (sharedDelay) await remove(await requests.levels(names.delay), shared, 'waiting');
      for (const [each, sums] of removed) {
        const { queue, again, delay, publishDelay } = names.group(each);
        await remove(await requests.levels(publishDelay), sums, 'only');
        const waiting = await requests.levels(delay);
        for (const name of [again, queue]) if ((await requests.look(name)) !== undefined) waiting.push(name);
        await remove(waiting, sums, 'waiting');
      }
      await requests.close();
    });
    for (const [each, sums] of removed) {
      const consumer = this.#consumers.get(each);
      // By then, all messages that the broker had sent are here.
      await consumer?.arrived();
      sums.waiting += (await consumer?.purge()) ?? 0;
      delayed.purged(each);
    }
    const all = [...removed].map(([each, { waiting, only }]) => {
      const alone = only + delayed.oneGroup.countAmong(each, waiting);
      const count = waiting + only;
      return { all: { ready: count, unfinished: count }, only: { ready: alone, unfinished: alone } };
    });
    return shared.waiting + totalOf(all).ready;
  }

  diagnose(signal: AbortSignal): Promise<QueueDiagnosis> {
    return this.#ask(signal, async (link) => {
      await this.#check(link);
      const requests = new QueueRequests(link, signal);
      const diagnosis = await diagnose(requests, this.#context, this.#facts());
      await requests.close();
      return diagnosis;
    });
  }

  /**
   * Deletes the exchange, the quarantine, the levels of delays, the declared groups and `default`.
   * AMQP cannot list queues, so the groups that this backend does not declare stay, without new
   * messages: `deleteGroup` deletes them first, or `rabbitmqctl` afterwards.
   */
  async deleteQueue(signal: AbortSignal): Promise<void> {
    const { groups, names, delayed, existence } = this.#context;
    const all = [...new Set([...groups, DEFAULT_GROUP])];
    existence.isDeleting = true;
    try {
      await this.#ask(signal, async (link) => {
        const requests = new QueueRequests(link, signal);
        // Without its exchange, the queue gets no new messages.
        await requests.delete(names.exchange);
        const delays = [names.delay, ...all.flatMap((group) => levelsOf(names.group(group)))];
        for (const delay of delays) for (const level of await requests.levels(delay)) await requests.delete(level);
        await requests.delete(names.quarantine);
        // Last: the consumers of this process lose their queues, and then the backend closes.
        for (const group of all) {
          const { queue, again } = names.group(group);
          for (const name of [again, queue]) await requests.delete(name);
        }
        await requests.close();
      });
    } catch (error) {
      existence.isDeleting = false;
      throw error;
    }
    for (const group of all) delayed.purged(group);
  }

  /** @param group undefined: the declared groups */
  #check(link: RabbitLink, group?: ConsumerGroup): Promise<void> {
    const { existence } = this.#context;
    return existence.check(link, group === undefined ? existence.groups : [group]);
  }
}

function levelsOf({ publishDelay, delay }: GroupNames): string[] {
  return [publishDelay, delay];
}
