import type { ConsumerGroup } from '../backend.js';
import type { EngineErrors } from '../core/engine-errors.js';
import type { RabbitLink } from './link.js';
import type { QueueNames } from './names.js';
import type { CheckedRabbitMqOptions } from './options.js';
import { QueueRequests } from './queue-requests.js';

type ExistenceOptions = Pick<CheckedRabbitMqOptions, 'create' | 'groups' | 'groupsDeclared'> & {
  readonly names: QueueNames;
  readonly failures: Pick<EngineErrors, 'notFound'>;
};

/** Whether a queue may be declared. Otherwise, whether it exists. */
export class Existence {
  /** This process deletes the queue. */
  isDeleting = false;
  readonly #options: ExistenceOptions;

  constructor(options: ExistenceOptions) {
    this.#options = options;
  }

  /** Whether missing queues and exchanges are declared. Otherwise using them fails. */
  get creates(): boolean {
    return this.#options.create && !this.isDeleting;
  }

  /** The groups that must exist. Without `groups` and `create`, there may be none. */
  get groups(): readonly ConsumerGroup[] {
    const { create, groups, groupsDeclared } = this.#options;
    return create || groupsDeclared ? groups : [];
  }

  /** The error for a message that reaches no group. */
  unrouted(group = this.#options.groups[0]): Error {
    return this.#options.failures.notFound(group);
  }

  /**
   * Does nothing if the queue may be declared.
   * @throws {QueueNotFoundError} (a rejection) if the queue or one of the groups does not exist
   */
  async check(link: RabbitLink, groups: readonly ConsumerGroup[]): Promise<void> {
    if (this.creates) return;
    const { names, failures } = this.#options;
    if (this.isDeleting) throw failures.notFound();
    const requests = new QueueRequests(link);
    try {
      if (!(await requests.hasExchange(names.exchange))) throw failures.notFound();
      for (const group of groups) {
        const { queue, again } = names.group(group);
        for (const each of [queue, again])
          if ((await requests.look(each)) === undefined) throw failures.notFound(group);
      }
    } finally {
      await requests.close();
    }
  }
}
