import type { ConsumerGroup, GroupInfo, MessageView, QueueDiagnosis, QueueStats } from '../backend.js';
import { ConfigurationError } from '../errors.js';
import { NO_METADATA } from '../internal/metadata.js';
import { idOfPlace } from './message.js';
import type { MemoryQueue } from './queue.js';

/** Tells what a queue holds, and takes nothing from it. */
export class Administration {
  readonly #queue: MemoryQueue;

  constructor(queue: MemoryQueue) {
    this.#queue = queue;
  }

  stats(name: ConsumerGroup | undefined): QueueStats {
    this.#queue.watch.used();
    // Over all groups a message counts once, and is ready while it is ready in any.
    const { ready, unfinished } = name === undefined ? this.#queue.counts : this.#queue.buffer.group(name);
    return { ready, unfinished };
  }

  groups(): GroupInfo[] {
    this.#queue.watch.used();
    return this.#queue.buffer.groups.map(({ name, ready, unfinished, consumers }) => ({
      name,
      declared: true,
      ready,
      unfinished,
      consumers: consumers.size,
    }));
  }

  /** There are no groups but the declared ones. */
  deleteGroup(name: ConsumerGroup): boolean {
    this.#queue.watch.used();
    if (!this.#queue.buffer.groups.some((group) => group.name === name)) return false;
    throw new ConfigurationError(
      `Group ${JSON.stringify(name)} of queue ${JSON.stringify(this.#queue.options.name)} is declared by this backend and cannot be ` +
        'deleted. Remove it from the `groups` option and from QUEUE_GROUPS first.',
    );
  }

  peek(name: ConsumerGroup, limit: number): MessageView[] {
    this.#queue.watch.used();
    const views: MessageView[] = [];
    for (const { key, payload, details, place, due } of this.#queue.buffer.waiting(this.#queue.buffer.group(name))) {
      const record = typeof details === 'number' ? undefined : details;
      const {
        metadata = NO_METADATA,
        attempt = 1,
        publishedAt = this.#queue.publishedAt(details as number),
      } = record ?? {};
      const id = record?.id ?? idOfPlace(this.#queue.id, place);
      const view = { id, key, payload: this.#queue.handOver(payload), ...metadata, attempt, publishedAt };
      if (views.push(due === undefined ? view : { ...view, due }) === limit) break;
    }
    return views;
  }

  diagnose(): QueueDiagnosis {
    const finding = {
      code: 'memory-not-durable',
      severity: 'problem',
      message: 'A MemoryBackend is for development and testing: its messages are lost when the process exits.',
      command: 'export QUEUE_BACKEND=redis REDIS_URL=redis://localhost:6379',
    } as const;
    return { server: 'memory of this process', clients: [], clockDifference: 0, findings: [finding] };
  }
}
