import type { ConsumerGroup } from '../backend.js';
import { withDeadline } from '../core/deadline.js';
import type { Logger } from '../internal/logger.js';
import type { Channel, QueueOptions } from './client.js';
import type { RabbitLink } from './link.js';
import type { QueueNames } from './names.js';
import { codeOf } from './rabbitmq-errors.js';

/** How often a message may be delivered before the broker drops it: the most that it takes, since dropping is not the broker's to do. */
const NEVER_DROPPED = 2 ** 31 - 1;

/** A queue that keeps what it has confirmed, whatever fails. */
export function keepingQueue(queue: string, settings: QueueOptions['arguments'] = {}): QueueOptions {
  return {
    queue,
    durable: true,
    arguments: { 'x-queue-type': 'quorum', 'x-delivery-limit': NEVER_DROPPED, ...settings },
  };
}

/**
 * The queue of a group. Whatever a policy limits, the broker drops nothing that it has confirmed: a full queue refuses what is published, and what expires or
 * was delivered too often goes to the queue `aside`.
 */
function groupQueue(queue: string, { quarantine }: QueueNames): QueueOptions {
  return keepingQueue(queue, {
    'x-overflow': 'reject-publish',
    'x-dead-letter-exchange': quarantine,
    'x-dead-letter-strategy': 'at-least-once',
  });
}
/** How long a declaration waits at most for the one before, in milliseconds. */
const LONGEST_TURN = 10_000;

export interface DeclareOptions {
  readonly queueName: string;
  readonly names: QueueNames;
  /** Identifies the server within this process. */
  readonly serverId: string;
  readonly logger: Logger;
}

/** What is being declared, by server and exchange. */
const declaring = new Map<string, Promise<void>>();

/** Queues of which it was said that an older version has declared them, by server and name. */
const outdated = new Set<string>();

/**
 * Declares the exchange of a queue, and groups with all that they have. What is there already stays as it is. In this process one at a time for a queue: RabbitMQ 3.10 tells who
 * comes second that a quorum queue is there before it is, and fails when that is used.
 */
export async function declareGroups(
  link: RabbitLink,
  groups: Iterable<ConsumerGroup>,
  options: DeclareOptions,
): Promise<void> {
  const key = `${options.serverId} ${options.names.exchange}`;
  const before = declaring.get(key);
  const declared = (async () => {
    // The one before may be on a connection that the server has blocked for hours. To go ahead is harmless but for the race that is told of above.
    if (before !== undefined) await withDeadline(before, LONGEST_TURN, () => new Error('Late')).catch(() => {});
    await declareInTurn(link, groups, options);
  })();
  // The next declaration waits for the end of this one. The caller of this one gets the error.
  const over = declared.catch(() => {});
  declaring.set(key, over);
  try {
    await declared;
  } finally {
    if (declaring.get(key) === over) declaring.delete(key);
  }
}

async function declareInTurn(
  link: RabbitLink,
  groups: Iterable<ConsumerGroup>,
  options: DeclareOptions,
): Promise<void> {
  const { names } = options;
  const { exchange, quarantine } = names;
  const setup = new Setup(link);
  const declareExchange = (name: string) =>
    setup.declare((channel) => channel.exchangeDeclare({ exchange: name, type: 'fanout', durable: true }));
  const declareQueue = async (wanted: QueueOptions, group?: ConsumerGroup) => {
    if (await setup.declareQueue(wanted, keepingQueue(wanted.queue))) warnOfOutdated(wanted.queue, group, options);
  };
  const bind = (from: string, queue: string) =>
    setup.declare((channel) => channel.queueBind({ exchange: from, queue }));
  for (const each of [exchange, quarantine]) await declareExchange(each);
  await declareQueue(keepingQueue(quarantine, { 'x-overflow': 'reject-publish' }));
  await bind(quarantine, quarantine);
  for (const group of groups) {
    const { queue, again } = names.group(group);
    for (const each of [queue, again]) await declareQueue(groupQueue(each, names), group);
    await bind(exchange, queue);
    for (const each of [queue, again]) {
      await declareExchange(each);
      await bind(each, each);
    }
  }
  await setup.close();
}

function warnOfOutdated(
  queue: string,
  group: ConsumerGroup | undefined,
  { queueName, serverId, logger }: DeclareOptions,
): void {
  const key = `${serverId} ${queue}`;
  if (outdated.has(key)) return;
  outdated.add(key);
  logger.warn(
    `An older version of Sluice has declared the queue ${JSON.stringify(queue)} on RabbitMQ. It works, but a policy with "max-length", "message-ttl" or "delivery-limit" can drop its messages. Stop its publishers, let its consumers empty it, and delete it: Sluice declares it again`,
    { queue: queueName, ...(group !== undefined && { group }) },
  );
}

/** Declares over a channel of its own, and over another one after each error, which ends it. */
export class Setup {
  readonly #link: RabbitLink;
  #channel: Channel | undefined;

  constructor(link: RabbitLink) {
    this.#link = link;
  }

  async declare(ask: (channel: Channel) => Promise<unknown>): Promise<void> {
    this.#channel ??= await this.#link.openChannel(() => {
      this.#channel = undefined;
    });
    await ask(this.#channel);
  }

  /**
   * Declares a queue. If an older version of Sluice has declared it, it is used as it is.
   * @param older how an older version declares it
   * @returns whether an older version has declared it
   */
  async declareQueue(options: QueueOptions, older: QueueOptions): Promise<boolean> {
    try {
      await this.declare((channel) => channel.queueDeclare(options));
      return false;
    } catch (error) {
      if (codeOf(error) !== 'PRECONDITION_FAILED') throw error;
      await this.declare((channel) => channel.queueDeclare(older));
      return true;
    }
  }

  async close(): Promise<void> {
    await this.#channel?.close();
  }
}

/** Sees to it that the groups are there which this process consumes for, on each connection anew. */
export class Topology {
  readonly #options: DeclareOptions;
  readonly #declared: readonly ConsumerGroup[];
  readonly #open = new WeakMap<RabbitLink, Map<ConsumerGroup, Promise<void>>>();

  /** @param declared the groups that exist from the first message on */
  constructor(options: DeclareOptions, declared: readonly ConsumerGroup[]) {
    this.#options = options;
    this.#declared = declared;
  }

  /** Declares what was declared in the options. */
  readonly prepare = async (link: RabbitLink): Promise<void> => {
    await declareGroups(link, this.#declared, this.#options);
    this.#open.set(link, new Map(this.#declared.map((group) => [group, Promise.resolve()])));
  };

  /** Resolves when the group is there. */
  async open(link: RabbitLink, group: ConsumerGroup): Promise<void> {
    const known = this.#open.get(link);
    let opened = known?.get(group);
    if (opened === undefined) {
      opened = declareGroups(link, [group], this.#options);
      known?.set(group, opened);
      // Everybody who waits for the group gets the error.
      opened.catch(() => this.forget(link, group));
    }
    await opened;
  }

  /** Somebody has deleted what belongs to the group: the next one to open it declares it again. */
  forget(link: RabbitLink, group: ConsumerGroup): void {
    this.#open.get(link)?.delete(group);
  }
}
