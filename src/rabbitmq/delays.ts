import type { QueueOptions } from './client.js';
import type { RabbitLink } from './link.js';
import { keepingQueue, Setup } from './topology.js';

/** The shortest step of a delay, in milliseconds: a delay is rounded up to a whole number of them. */
const UNIT = 16;

/** How many levels there can be: as many as the time to live of a queue has room for. */
const MOST_LEVELS = 28;

/** The longest delay, in milliseconds: some 49 days. */
export const LONGEST_DELAY = UNIT * (2 ** MOST_LEVELS - 1);

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
  readonly #destination: string;
  /** How many levels are declared, on the connection of now. */
  #declared = 0;

  /** @param destination the exchange that gets a message when its delay is over */
  constructor(name: string, destination: string) {
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
  async declareFor(link: RabbitLink, delay: number): Promise<void> {
    const levels = levelsFor(delay);
    const setup = new Setup(link);
    for (let level = this.#declared; level < levels; level++) {
      await this.#declareLevel(setup, level);
      this.#declared = level + 1;
    }
    await setup.close();
  }

  /** The way of a message that is delayed for more than 0 milliseconds. */
  detour(delay: number): Detour {
    const bits = unitsOf(delay).toString(2);
    return { exchange: levelName(this.#name, bits.length - 1), routingKey: [...bits].join('.') };
  }

  async #declareLevel(setup: Setup, level: number): Promise<void> {
    const name = levelName(this.#name, level);
    const below = level === 0 ? this.#destination : levelName(this.#name, level - 1);
    await setup.declare((channel) => channel.exchangeDeclare({ exchange: name, type: 'topic', durable: true }));
    const handingDownTo = (exchange: string, key: QueueOptions['arguments'] = {}) =>
      keepingQueue(name, {
        'x-message-ttl': UNIT * 2 ** level,
        'x-dead-letter-strategy': 'at-least-once',
        'x-overflow': 'reject-publish',
        'x-dead-letter-exchange': exchange,
        ...key,
      });
    // An older version hands down to the queue of a group over the default exchange.
    await setup.declareQueue(handingDownTo(below), handingDownTo('', { 'x-dead-letter-routing-key': below }));
    // The bit of this level is followed by those of all levels below.
    const rest = '.*'.repeat(level);
    await setup.declare((channel) => channel.queueBind({ exchange: name, queue: name, routingKey: `#.1${rest}` }));
    await setup.declare((channel) =>
      channel.exchangeBind({ source: name, destination: below, routingKey: `#.0${rest}` }),
    );
  }
}
