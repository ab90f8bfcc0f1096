import type { Channel } from './client.js';
import { levelName } from './delays.js';
import { codeOf } from './failures.js';
import type { RabbitLink } from './link.js';

/** Looks how many messages wait in queues. Each look at a queue that is not there ends a channel, so it has channels of its own. */
export class Counts {
  readonly #link: RabbitLink;
  #channel: Channel | undefined;

  constructor(link: RabbitLink) {
    this.#link = link;
  }

  /** How many messages wait in a queue; undefined: there is no such queue. */
  async waiting(queue: string): Promise<number | undefined> {
    this.#channel ??= await this.#link.openChannel(() => {
      this.#channel = undefined;
    });
    try {
      return (await this.#channel.queueDeclare({ queue, passive: true })).messageCount;
    } catch (error) {
      if (codeOf(error) === 'NOT_FOUND') return undefined;
      throw error;
    }
  }

  /** How many messages are in the levels of a delay, which are there from the first one up. */
  async delayed(delay: string): Promise<number> {
    let sum = 0;
    for (let level = 0; ; level++) {
      const count = await this.waiting(levelName(delay, level));
      if (count === undefined) return sum;
      sum += count;
    }
  }

  async close(): Promise<void> {
    await this.#channel?.close();
  }
}
