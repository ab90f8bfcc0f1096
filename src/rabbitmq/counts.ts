import type { Channel } from './client.js';
import { levelName } from './delays.js';
import type { RabbitLink } from './link.js';
import { codeOf } from './rabbitmq-errors.js';

/** Counts the messages of queues. Asking for a missing queue ends a channel, so it has its own ones. */
export class Counts {
  readonly #link: RabbitLink;
  readonly #signal: AbortSignal | undefined;
  #channel: Channel | undefined;

  /** @param signal aborts when the caller gives up: the next call then rejects with its reason */
  constructor(link: RabbitLink, signal?: AbortSignal) {
    this.#link = link;
    this.#signal = signal;
  }

  /** Returns how many messages wait in a queue; undefined: there is no such queue. */
  async waiting(queue: string): Promise<number | undefined> {
    return (await this.look(queue))?.messageCount;
  }

  /** Returns how many consumers a queue has, in all processes. */
  async consumers(queue: string): Promise<number> {
    return (await this.look(queue))?.consumerCount ?? 0;
  }

  /**
   * Returns how many messages are in the levels of a delay. It asks in the order in which messages
   * pass through them: one that moves meanwhile is counted twice rather than not at all.
   */
  async delayed(delay: string): Promise<number> {
    let sum = 0;
    for (const level of await this.levels(delay)) sum += (await this.waiting(level)) ?? 0;
    return sum;
  }

  /**
   * Returns the names of the levels of a delay, in the order in which messages pass through them.
   */
  async levels(delay: string): Promise<string[]> {
    const names: string[] = [];
    for (let name = levelName(delay, 0); (await this.look(name)) !== undefined; name = levelName(delay, names.length))
      names.unshift(name);
    return names;
  }

  async close(): Promise<void> {
    const channel = this.#channel;
    this.#channel = undefined;
    await channel?.close();
  }

  /** Returns the counts of a queue; undefined: there is no such queue. */
  async look(queue: string): Promise<{ readonly messageCount: number; readonly consumerCount: number } | undefined> {
    if (this.#signal?.aborted) {
      await this.close();
      throw this.#signal.reason;
    }
    this.#channel ??= await this.#link.openChannel(() => {
      this.#channel = undefined;
    });
    try {
      return await this.#channel.queueDeclare({ queue, passive: true });
    } catch (error) {
      if (codeOf(error) === 'NOT_FOUND') return undefined;
      throw error;
    }
  }
}
