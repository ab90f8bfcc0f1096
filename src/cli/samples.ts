import type { GroupInfo, QueueStats, QueueStatus } from 'sluice';
import { oneLine } from './failures.js';
import { type AnyQueue, byName } from './open-queue.js';

/** What was counted at one time. */
export interface Sample {
  /** In milliseconds since the epoch. */
  readonly time: number;
  readonly total: QueueStats;
  readonly groups: readonly GroupSample[];
}

export interface GroupSample extends GroupInfo {
  /** The age of the oldest waiting message, in milliseconds. Undefined: none waits, or it is not known. */
  readonly oldest?: number | undefined;
}

/** How many samples are kept: the longest sparkline. */
const KEPT = 120;

/** Over how many samples a rate is taken. */
const RATE_SAMPLES = 5;

/** Counts a queue again and again. */
export class Samples {
  readonly #queue: AnyQueue;
  readonly #names: readonly string[];
  readonly #samples: Sample[] = [];
  #status: QueueStatus | undefined;
  #error: string | undefined;
  #canPeek: boolean;

  /** @param names the groups, if the backend cannot list them */
  constructor(queue: AnyQueue, names: readonly string[]) {
    this.#queue = queue;
    this.#names = names;
    this.#canPeek = queue.peek !== undefined;
    queue.status$?.subscribe((status) => {
      this.#status = status;
    });
  }

  get name(): string {
    return this.#queue.name;
  }

  /** The state of the connection. */
  get status(): string {
    return this.#error === undefined
      ? (this.#status ?? 'connected')
      : `${this.#status ?? 'unavailable'}: ${this.#error}`;
  }

  get last(): Sample | undefined {
    return this.#samples.at(-1);
  }

  /**
   * Counts once.
   * @throws {SluiceError} (a rejection) if the queue does not exist any more
   */
  async take(): Promise<void> {
    const { BackendUnavailableError } = await import('sluice');
    try {
      const [total, groups] = await Promise.all([this.#queue.stats(), this.#groups()]);
      const oldest = await Promise.all(groups.map(({ name, ready }) => (ready === 0 ? undefined : this.#oldest(name))));
      const time = Date.now();
      this.#samples.push({
        time,
        total,
        groups: groups.map((group, index) => {
          const publishedAt = oldest[index];
          return publishedAt === undefined ? group : { ...group, oldest: Math.max(0, time - publishedAt) };
        }),
      });
      if (this.#samples.length > KEPT) this.#samples.shift();
      this.#error = undefined;
    } catch (error) {
      // The queue reconnects by itself.
      if (!BackendUnavailableError.is(error) || !error.retryable) throw error;
      this.#error = oneLine(error);
    }
  }

  /** How fast a number changes, per second. Undefined: there is one sample only. */
  rate(numberOf: (sample: Sample) => number): number | undefined {
    const last = this.last;
    const first = this.#samples.at(-1 - RATE_SAMPLES) ?? this.#samples[0];
    if (last === undefined || first === undefined || first === last) return undefined;
    return ((numberOf(last) - numberOf(first)) * 1000) / Math.max(1, last.time - first.time);
  }

  /** A number over time, the last one at the end. */
  history(length: number, numberOf: (sample: Sample) => number): number[] {
    return this.#samples.slice(-length).map(numberOf);
  }

  async #groups(): Promise<readonly GroupInfo[]> {
    if (this.#queue.groups !== undefined) return byName(await this.#queue.groups());
    return Promise.all(
      this.#names.map(async (name) => ({ name, declared: true, ...(await this.#queue.stats({ group: name })) })),
    );
  }

  /** Resolves to the time at which the oldest waiting message was published. */
  async #oldest(group: string): Promise<number | undefined> {
    const { UnsupportedOperationError, ConfigurationError } = await import('sluice');
    if (!this.#canPeek) return undefined;
    try {
      const [message] = (await this.#queue.peek?.({ group, limit: 1 })) ?? [];
      return message?.publishedAt;
    } catch (error) {
      // A group that was created meanwhile is not declared.
      if (ConfigurationError.is(error)) return undefined;
      if (!UnsupportedOperationError.is(error)) throw error;
      this.#canPeek = false;
      return undefined;
    }
  }
}

/** The number of a group in a sample. 0 before it was created. */
export function ofGroup(name: string, field: 'ready' | 'unfinished'): (sample: Sample) => number {
  return ({ groups }) => groups.find((group) => group.name === name)?.[field] ?? 0;
}
