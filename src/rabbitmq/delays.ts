import type { Channel } from './client.js';
import { keepingQueue } from './topology.js';

/** The shortest step of a delay, in milliseconds: a delay is rounded up to a whole number of them. */
const UNIT = 16;

/** How many levels there can be: as many as the time to live of a queue has room for. */
const MOST_LEVELS = 28;

/** The longest delay, in milliseconds: some 49 days. */
export const LONGEST_DELAY = UNIT * (2 ** MOST_LEVELS - 1);

/** Where a delay leads to: an exchange, or one queue. */
export type Destination = { readonly exchange: string } | { readonly queue: string };

/** Where to send a message, so that it is delayed. */
export interface Detour {
  readonly exchange: string;
  readonly routingKey: string;
}

/** The name of the exchange, and of the queue, of a level. */
export function levelName(delay: string, level: number): string {
  return `${delay}:${level}`;
}

/** How many levels a delay needs. 0: it is over. */
export function levelsFor(delay: number): number {
  return delay <= 0 ? 0 : unitsOf(delay).toString(2).length;
}

function unitsOf(delay: number): number {
  return Math.min(2 ** MOST_LEVELS - 1, Math.ceil(delay / UNIT));
}

/**
 * How a message is delayed, without a plugin: level n keeps it for 2ⁿ units, then hands it down. A message enters at the level of the first bit of its delay,
 * and its routing key, the bits of the delay from there on, says at each level whether to stay or to pass.
 *
 * Each level is a topic exchange and a queue of the same name. The bits are read from the end of the key, so that a level need not know how many are above it.
 */
export class Delays {
  readonly #name: string;
  readonly #destination: Destination;
  /** How many levels are declared, on the connection of now. */
  #declared = 0;

  constructor(name: string, destination: Destination) {
    this.#name = name;
    this.#destination = destination;
  }

  /** Whether the levels that a delay needs are declared. */
  isReadyFor(delay: number): boolean {
    return levelsFor(delay) <= this.#declared;
  }

  /** Nobody knows any more what is declared. */
  forget(): void {
    this.#declared = 0;
  }

  /** Declares all levels that a delay needs, from below: what enters finds its way. */
  async declareFor(channel: Channel, delay: number): Promise<void> {
    const levels = levelsFor(delay);
    for (let level = this.#declared; level < levels; level++) {
      await this.#declareLevel(channel, level);
      this.#declared = level + 1;
    }
  }

  /** The way of a message that is delayed for more than 0 milliseconds. */
  detour(delay: number): Detour {
    const bits = unitsOf(delay).toString(2);
    return { exchange: levelName(this.#name, bits.length - 1), routingKey: [...bits].join('.') };
  }

  async #declareLevel(channel: Channel, level: number): Promise<void> {
    const name = levelName(this.#name, level);
    const below = level === 0 ? this.#destination : { exchange: levelName(this.#name, level - 1) };
    await channel.exchangeDeclare({ exchange: name, type: 'topic', durable: true });
    const next =
      'exchange' in below ? { 'x-dead-letter-exchange': below.exchange } : { 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': below.queue };
    await channel.queueDeclare(
      keepingQueue(name, { 'x-message-ttl': UNIT * 2 ** level, 'x-dead-letter-strategy': 'at-least-once', 'x-overflow': 'reject-publish', ...next }),
    );
    // The bit of this level is followed by those of all levels below.
    const rest = '.*'.repeat(level);
    await channel.queueBind({ exchange: name, queue: name, routingKey: `#.1${rest}` });
    if ('exchange' in below) await channel.exchangeBind({ source: name, destination: below.exchange, routingKey: `#.0${rest}` });
    else await channel.queueBind({ exchange: name, queue: below.queue, routingKey: `#.0${rest}` });
  }
}
