import type { ConsumerGroup } from '../backend.js';
import type { Channel, QueueOptions } from './client.js';
import type { RabbitLink } from './link.js';
import type { GroupNames, QueueNames } from './names.js';

/** How often a message may be delivered before the broker drops it: the most that it takes, since dropping is not the broker's to do. */
const NEVER_DROPPED = 2 ** 31 - 1;

/** A queue that keeps what it has confirmed, whatever fails. */
export function keepingQueue(queue: string, settings: QueueOptions['arguments'] = {}): QueueOptions {
  return { queue, durable: true, arguments: { 'x-queue-type': 'quorum', 'x-delivery-limit': NEVER_DROPPED, ...settings } };
}

/** What is being declared, by the names of queues. */
const declaring = new Map<string, Promise<void>>();

/**
 * Declares the exchange of a queue, and groups with all that they have. What is there already stays as it is. In this process one at a time for a queue: RabbitMQ 3.10 tells who
 * comes second that a quorum queue is there before it is, and fails when that is used.
 */
export async function declareGroups(channel: Channel, names: QueueNames, groups: Iterable<ConsumerGroup>): Promise<void> {
  const before = declaring.get(names.exchange);
  const declared = (async () => {
    await before;
    await declareInTurn(channel, names, groups);
  })();
  const over = declared.catch(() => {});
  declaring.set(names.exchange, over);
  try {
    await declared;
  } finally {
    if (declaring.get(names.exchange) === over) declaring.delete(names.exchange);
  }
}

async function declareInTurn(channel: Channel, names: QueueNames, groups: Iterable<ConsumerGroup>): Promise<void> {
  await channel.exchangeDeclare({ exchange: names.exchange, type: 'fanout', durable: true });
  for (const group of groups) await declareGroup(channel, names, names.group(group));
}

async function declareGroup(channel: Channel, { exchange }: QueueNames, { queue, again }: GroupNames): Promise<void> {
  await channel.queueDeclare(keepingQueue(queue));
  await channel.queueDeclare(keepingQueue(again));
  await channel.queueBind({ exchange, queue });
}

/** Sees to it that the groups are there which this process consumes for, on each connection anew. */
export class Topology {
  readonly #names: QueueNames;
  readonly #declared: readonly ConsumerGroup[];
  readonly #open = new WeakMap<RabbitLink, Map<ConsumerGroup, Promise<void>>>();

  /** @param declared the groups that exist from the first message on */
  constructor(names: QueueNames, declared: readonly ConsumerGroup[]) {
    this.#names = names;
    this.#declared = declared;
  }

  /** Declares what was declared in the options. */
  readonly prepare = async (link: RabbitLink): Promise<void> => {
    await this.#declare(link, this.#declared);
    this.#open.set(link, new Map(this.#declared.map((group) => [group, Promise.resolve()])));
  };

  /** Resolves when the group is there. */
  async open(link: RabbitLink, group: ConsumerGroup): Promise<void> {
    const known = this.#open.get(link);
    let opened = known?.get(group);
    if (opened === undefined) {
      opened = this.#declare(link, [group]);
      known?.set(group, opened);
      opened.catch(() => this.forget(link, group));
    }
    await opened;
  }

  /** Somebody has deleted what messages are sent to: declares it anew, with all groups that are open. Where that fails, the next link does. */
  async restore(link: RabbitLink): Promise<void> {
    const groups = [...(this.#open.get(link)?.keys() ?? [])];
    await this.#declare(link, groups).catch(() => {});
  }

  /** Somebody has deleted what belongs to the group: the next one to open it declares it again. */
  forget(link: RabbitLink, group: ConsumerGroup): void {
    this.#open.get(link)?.delete(group);
  }

  async #declare(link: RabbitLink, groups: readonly ConsumerGroup[]): Promise<void> {
    const channel = await link.openChannel(() => {});
    await declareGroups(channel, this.#names, groups);
    await channel.close();
  }
}
