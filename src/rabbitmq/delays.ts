import type { Envelope, QueueOptions } from './client.js';
import type { RabbitLink } from './link.js';
import { levelName } from './names.js';
import { QueueRequests } from './queue-requests.js';
import { keepingQueue } from './topology.js';

/** The unit of delays, in milliseconds. Delays are rounded up to it. */
const UNIT = 16;

/** The limit of `x-message-ttl` allows no more levels. */
const MOST_LEVELS = 28;

/** The longest delay, in milliseconds: about 49 days. */
export const LONGEST_DELAY = UNIT * (2 ** MOST_LEVELS - 1);

/** How many levels a delay needs. */
export function levelsFor(delay: number): number {
  return delay <= 0 ? 0 : unitsOf(delay).toString(2).length;
}

function unitsOf(delay: number): number {
  return Math.min(2 ** MOST_LEVELS - 1, Math.ceil(delay / UNIT));
}

/**
 * Delays messages without a plugin. Level n keeps a message for 2ⁿ units, then passes it to the
 * level below. A message enters at the level of the highest bit of its delay. Its routing key
 * contains the bits from there on: at each level, a 1 keeps the message, and a 0 lets it pass.
 *
 * Each level is a topic exchange and a queue of the same name. Levels count the bits from the end
 * of the key, so they need not know how many levels are above.
 */
export class Delays {
  /** The exchange that gets the due messages, and those without a delay. */
  readonly destination: string;
  readonly #name: string;
  /** How many levels are declared over the current link. */
  #declared = 0;

  constructor(name: string, destination: string) {
    this.#name = name;
    this.destination = destination;
  }

  /** Whether the levels that a delay needs are declared. */
  isReadyFor(delay: number): boolean {
    return levelsFor(delay) <= this.#declared;
  }

  /** Declares the levels again when they are needed next. */
  forget(): void {
    this.#declared = 0;
  }

  /** Declares the levels of a delay, the lowest first: a message passes from level to level. */
  async declareFor(link: RabbitLink, delay: number): Promise<void> {
    const levels = levelsFor(delay);
    const requests = new QueueRequests(link);
    for (let level = this.#declared; level < levels; level++) {
      await this.#declareLevel(requests, level);
      this.#declared = level + 1;
    }
    await requests.close();
  }

  /** Where a message with a delay of more than 0 milliseconds is sent. */
  detour(delay: number): Pick<Envelope, 'exchange' | 'routingKey'> {
    const bits = unitsOf(delay).toString(2);
    return { exchange: levelName(this.#name, bits.length - 1), routingKey: [...bits].join('.') };
  }

  async #declareLevel(requests: QueueRequests, level: number): Promise<void> {
    const name = levelName(this.#name, level);
    const below = level === 0 ? this.destination : levelName(this.#name, level - 1);
    await requests.send((channel) => channel.exchangeDeclare({ exchange: name, type: 'topic', durable: true }));
    const passingTo = (exchange: string, key: QueueOptions['arguments'] = {}) =>
      keepingQueue(name, {
        'x-message-ttl': UNIT * 2 ** level,
        'x-dead-letter-strategy': 'at-least-once',
        'x-overflow': 'reject-publish',
        'x-dead-letter-exchange': exchange,
        ...key,
      });
    // An older version passes messages to the queue of a group through the default exchange.
    await requests.declareQueue(passingTo(below), passingTo('', { 'x-dead-letter-routing-key': below }));
    // The bits of the levels below follow the bit of this level.
    const rest = '.*'.repeat(level);
    await requests.send((channel) => channel.queueBind({ exchange: name, queue: name, routingKey: `#.1${rest}` }));
    await requests.send((channel) =>
      channel.exchangeBind({ source: name, destination: below, routingKey: `#.0${rest}` }),
    );
  }
}
