import { inspect } from 'node:util';
import { BackendUnavailableError } from 'sluice';

/** Prints at most ten message numbers. */
const some = (ids: readonly number[]) => (ids.length > 10 ? `${ids.slice(0, 10).join(', ')}, …` : ids.join(', '));

/** Counts what was published and what was processed across a fault. Messages are numbered. */
export class Tally {
  readonly #begun = new Set<number>();
  readonly #confirmed = new Set<number>();
  readonly #erased = new Set<number>();
  readonly #unclear = new Set<number>();
  readonly #refused = new Map<number, unknown>();
  readonly #started = new Map<number, number>();
  readonly #done = new Set<number>();
  /** How many messages were erased and have not been processed since. */
  #gone = 0;

  /** Waits for a publish and records its result. Does not reject. */
  async published(id: number, publish: Promise<void>): Promise<void> {
    this.#begun.add(id);
    try {
      await publish;
      this.#confirmed.add(id);
    } catch (error) {
      // Such a message is not expected, but may be delivered.
      if (BackendUnavailableError.is(error) && /may have been enqueued/.test(error.message)) this.#unclear.add(id);
      else this.#refused.set(id, error);
    }
  }

  /**
   * Records that a consumer begins to process a message. Duplicates are counted from these records:
   * a consumer that is killed may have done part of the work.
   */
  started(id: number): void {
    this.#started.set(id, (this.#started.get(id) ?? 0) + 1);
  }

  /**
   * Records that a consumer has processed a message and is about to acknowledge it. Losses are
   * counted from these records.
   */
  finished(id: number): void {
    if (this.#erased.has(id) && !this.#done.has(id)) this.#gone -= 1;
    this.#done.add(id);
  }

  /** Records that the queue was cleared. Messages published until now need not be delivered. */
  emptied(): void {
    for (const id of this.#begun) if (!this.#done.has(id)) this.#erased.add(id);
    this.#gone = [...this.#erased].filter((id) => !this.#done.has(id)).length;
  }

  /** The number of publishes that resolved. */
  get confirmed(): number {
    return this.#confirmed.size;
  }

  /** The number of publishes that rejected with "may have been enqueued". */
  get unclear(): number {
    return this.#unclear.size;
  }

  /** The errors of the publishes whose messages were not enqueued. */
  get refusals(): readonly unknown[] {
    return [...this.#refused.values()];
  }

  /** The number of messages that were processed at least once. */
  get done(): number {
    return this.#done.size;
  }

  /** The number of messages that are processed or no longer expected. */
  get over(): number {
    return this.done + this.#gone;
  }

  /** The messages that were confirmed but neither processed nor erased. */
  get lost(): readonly number[] {
    return [...this.#confirmed].filter((id) => !this.#done.has(id) && !this.#erased.has(id));
  }

  /** How many times the processing of a message began again. */
  get duplicates(): number {
    let duplicates = 0;
    for (const times of this.#started.values()) duplicates += times - 1;
    return duplicates;
  }

  [inspect.custom](): string {
    return this.toString();
  }

  toString(): string {
    const parts = [`${this.confirmed} confirmed`, `${this.lost.length} lost`, `${this.duplicates} duplicates`];
    const erased = [...this.#erased].filter((id) => this.#confirmed.has(id) && !this.#done.has(id)).length;
    if (erased > 0) parts.push(`${erased} erased`);
    if (this.unclear > 0) parts.push(`${this.unclear} may have been enqueued`);
    if (this.#refused.size > 0) parts.push(`${this.#refused.size} refused`);
    return parts.join(', ');
  }

  /**
   * Prints the figures and checks them. Call it when all messages are processed.
   * @param fault describes what was done to the queue
   * @param maxDuplicates the largest number of messages in flight when the fault happened
   */
  close(fault: string, maxDuplicates: number): void {
    process.stdout.write(`${fault}: ${this} (at most ${maxDuplicates})\n`);
    const { lost } = this;
    if (lost.length > 0) throw new Error(`${fault}: lost ${some(lost)} (${this})`);
    if (this.duplicates > maxDuplicates)
      throw new Error(`${fault}: more duplicates than messages in flight, ${maxDuplicates} (${this})`);
    const delivered = [...this.#refused.keys()].filter((id) => this.#started.has(id));
    if (delivered.length > 0) throw new Error(`${fault}: refused but delivered: ${some(delivered)}`);
  }
}
