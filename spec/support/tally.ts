import { inspect } from 'node:util';
import { BackendUnavailableError } from 'sluice';

/** The numbers of some messages, few enough to be read. */
const some = (ids: readonly number[]) => (ids.length > 10 ? `${ids.slice(0, 10).join(', ')}, …` : ids.join(', '));

/** Keeps count, across a fault, of what was published and what was processed. Messages are known by a number. */
export class Tally {
  readonly #begun = new Set<number>();
  readonly #confirmed = new Set<number>();
  readonly #erased = new Set<number>();
  readonly #unclear = new Set<number>();
  readonly #refused = new Map<number, unknown>();
  readonly #started = new Map<number, number>();
  readonly #done = new Set<number>();
  /** How many were erased, and have not been done since. */
  #gone = 0;

  /** Waits for a publish and notes how it ended. Does not reject. */
  async published(id: number, publish: Promise<void>): Promise<void> {
    this.#begun.add(id);
    try {
      await publish;
      this.#confirmed.add(id);
    } catch (error) {
      // Such a message counts for nothing: it may come, or not.
      if (BackendUnavailableError.is(error) && /may have been enqueued/.test(error.message)) this.#unclear.add(id);
      else this.#refused.set(id, error);
    }
  }

  /** A consumer begins the work of a message. It may have done some of it when it is killed: that counts when it comes to what is doubled. */
  started(id: number): void {
    this.#started.set(id, (this.#started.get(id) ?? 0) + 1);
  }

  /** A consumer has done the work of a message, to the end, and is about to acknowledge it. Only that counts when it comes to what is lost. */
  finished(id: number): void {
    if (this.#erased.has(id) && !this.#done.has(id)) this.#gone -= 1;
    this.#done.add(id);
  }

  /** Somebody has just emptied the queue: of what was being published until now, nothing that is not done needs to come. */
  emptied(): void {
    for (const id of this.#begun) if (!this.#done.has(id)) this.#erased.add(id);
    this.#gone = [...this.#erased].filter((id) => !this.#done.has(id)).length;
  }

  /** How many publishes resolved. */
  get confirmed(): number {
    return this.#confirmed.size;
  }

  /** How many publishes rejected with an error that says that the message may have been enqueued. */
  get unclear(): number {
    return this.#unclear.size;
  }

  /** With what publishes rejected whose message was not enqueued, they say. */
  get refusals(): readonly unknown[] {
    return [...this.#refused.values()];
  }

  /** How many messages were processed at least once. */
  get done(): number {
    return this.#done.size;
  }

  /** How many messages are done, or need not come any more. */
  get over(): number {
    return this.done + this.#gone;
  }

  /** What was confirmed and never processed, unless it was erased. */
  get lost(): readonly number[] {
    return [...this.#confirmed].filter((id) => !this.#done.has(id) && !this.#erased.has(id));
  }

  /** How often a message was begun that had been begun before. */
  get doubled(): number {
    let doubled = 0;
    for (const times of this.#started.values()) doubled += times - 1;
    return doubled;
  }

  [inspect.custom](): string {
    return this.toString();
  }

  toString(): string {
    const parts = [`${this.confirmed} confirmed`, `${this.lost.length} lost`, `${this.doubled} doubled`];
    const erased = [...this.#erased].filter((id) => this.#confirmed.has(id) && !this.#done.has(id)).length;
    if (erased > 0) parts.push(`${erased} erased`);
    if (this.unclear > 0) parts.push(`${this.unclear} may have been enqueued`);
    if (this.#refused.size > 0) parts.push(`${this.#refused.size} refused`);
    return parts.join(', ');
  }

  /**
   * Prints the figures and checks them, when all is over.
   * @param fault what was done to the queue
   * @param mostDoubled how many messages were in flight, at most, when it was done
   */
  close(fault: string, mostDoubled: number): void {
    process.stdout.write(`${fault}: ${this} (doubled at most ${mostDoubled})\n`);
    const { lost } = this;
    if (lost.length > 0) throw new Error(`${fault}: lost ${some(lost)} (${this})`);
    if (this.doubled > mostDoubled)
      throw new Error(`${fault}: more were doubled than were in flight, ${mostDoubled} (${this})`);
    const delivered = [...this.#refused.keys()].filter((id) => this.#started.has(id));
    if (delivered.length > 0) throw new Error(`${fault}: refused, and delivered all the same: ${some(delivered)}`);
  }
}
