import type { ConsumerGroup } from '../backend.js';
import { withDeadline } from '../core/deadline.js';
import type { QueueOptions } from './client.js';
import type { QueueContext } from './context.js';
import type { RabbitLink } from './link.js';
import type { QueueNames } from './names.js';
import { QueueRequests } from './queue-requests.js';

/** The highest `x-delivery-limit`: the broker must not drop messages. */
const NEVER_DROPPED = 2 ** 31 - 1;

/** How long a declaration waits for the previous one, in milliseconds. */
const LONGEST_TURN = 10_000;

type DeclareOptions = Pick<QueueContext, 'queueName' | 'names' | 'serverId' | 'logger'>;

/** The last declaration, by server and exchange. */
const declaring = new Map<string, Promise<void>>();

/** Queues of an older version that were logged, by server and name. */
const outdated = new Set<string>();

/** Returns the settings of a quorum queue that never drops a confirmed message. */
export function keepingQueue(queue: string, settings: QueueOptions['arguments'] = {}): QueueOptions {
  return {
    queue,
    durable: true,
    arguments: { 'x-queue-type': 'quorum', 'x-delivery-limit': NEVER_DROPPED, ...settings },
  };
}

/** Returns the queue of the quarantine, and the settings of the queues of groups. */
export function settingsOf({ quarantine }: Pick<QueueNames, 'quarantine'>) {
  return {
    queue: keepingQueue(quarantine, { 'x-overflow': 'reject-publish' }),
    // Whatever a policy limits, the broker drops no confirmed message: a full queue refuses
    // publishes, and a message that expires or was delivered too often goes to quarantine.
    settings: {
      'x-overflow': 'reject-publish',
      'x-dead-letter-exchange': quarantine,
      'x-dead-letter-strategy': 'at-least-once',
    },
  };
}

/**
 * Declares the exchange, the quarantine and groups of a queue. A process runs one declaration of a
 * queue at a time: RabbitMQ 3.10 confirms a second declaration of a quorum queue before the queue
 * exists, and fails when it is used.
 */
export async function declareGroups(
  link: RabbitLink,
  groups: Iterable<ConsumerGroup>,
  options: DeclareOptions,
): Promise<void> {
  const key = `${options.serverId} ${options.names.exchange}`;
  const before = declaring.get(key);
  const declared = (async () => {
    // The server may have blocked the connection of the previous one. To go ahead only risks the
    // race above.
    if (before !== undefined) await withDeadline(before, LONGEST_TURN, () => new Error('Late')).catch(() => {});
    await declareInTurn(link, groups, options);
  })();
  // The next declaration waits for this one. The caller of this one gets the error.
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
  const { queue: quarantineQueue, settings } = settingsOf(names);
  const requests = new QueueRequests(link);
  const declareExchange = (name: string) =>
    requests.send((channel) => channel.exchangeDeclare({ exchange: name, type: 'fanout', durable: true }));
  const declareQueue = async (wanted: QueueOptions, group?: ConsumerGroup) => {
    if (await requests.declareQueue(wanted, keepingQueue(wanted.queue))) warnOfOutdated(wanted.queue, group, options);
  };
  const bind = (from: string, queue: string) =>
    requests.send((channel) => channel.queueBind({ exchange: from, queue }));
  for (const each of [exchange, quarantine]) await declareExchange(each);
  await declareQueue(quarantineQueue);
  await bind(quarantine, quarantine);
  for (const group of groups) {
    const { queue, again } = names.group(group);
    for (const each of [queue, again]) await declareQueue(keepingQueue(each, settings), group);
    await bind(exchange, queue);
    for (const each of [queue, again]) {
      await declareExchange(each);
      await bind(each, each);
    }
  }
  await requests.close();
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

/** Declares the queue with its declared groups. If it must not be created, checks that it exists. */
export async function openQueue(link: RabbitLink, context: QueueContext): Promise<void> {
  const { existence, groups } = context;
  if (existence.creates) await declareGroups(link, groups, context);
  else await existence.check(link, existence.groups);
}

/** Declares the groups that this process consumes for, once over each link. */
export class Topology {
  readonly #context: QueueContext;
  readonly #open = new WeakMap<RabbitLink, Map<ConsumerGroup, Promise<void>>>();

  constructor(context: QueueContext) {
    this.#context = context;
  }

  /** Declares the groups of the options. Over a link to delete the queue, declares nothing yet. */
  async prepare(link: RabbitLink): Promise<void> {
    const { groups, existence } = this.#context;
    const { creates } = existence;
    if (!existence.isDeleting) await openQueue(link, this.#context);
    this.#open.set(link, new Map(creates ? groups.map((group) => [group, Promise.resolve()]) : []));
  }

  /** Resolves when the group exists. */
  async open(link: RabbitLink, group: ConsumerGroup): Promise<void> {
    const known = this.#open.get(link);
    let opened = known?.get(group);
    if (opened === undefined) {
      opened = this.#context.existence.creates
        ? declareGroups(link, [group], this.#context)
        : this.#context.existence.check(link, [group]);
      known?.set(group, opened);
      // Every caller of `open` gets the error.
      opened.catch(() => this.forget(link, group));
    }
    await opened;
  }

  /** Declares the group again when it is opened next: a queue of it may have been deleted. */
  forget(link: RabbitLink, group: ConsumerGroup): void {
    this.#open.get(link)?.delete(group);
  }
}
