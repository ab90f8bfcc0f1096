import type { ConsumerGroup } from '../backend.js';
import { DEFAULT_GROUP } from '../bridge/consume-options.js';
import type { ErrorKind } from '../core/engine-errors.js';
import { shellCommand, warnOfUnreadGroup } from '../core/unread-group.js';
import { describeError } from '../internal/describe.js';
import type { Logger } from '../internal/logger.js';
import { Counts } from './counts.js';
import type { RabbitLink } from './link.js';
import type { QueueNames } from './names.js';

export interface UnreadDefaultOptions {
  readonly queueName: string;
  readonly names: QueueNames;
  /** The declared groups. */
  readonly groups: readonly ConsumerGroup[];
  /** Undefined if a client was handed in that does not tell. */
  readonly vhost: string | undefined;
  readonly classify: (error: unknown) => ErrorKind;
  readonly logger: Logger;
}

/**
 * Warns once of a group `default` that this backend does not declare and that has no consumer: it
 * retains every message. AMQP cannot list queues, so other undeclared groups stay unseen.
 */
export class UnreadDefault {
  readonly #options: UnreadDefaultOptions;
  #isOver: boolean;

  constructor(options: UnreadDefaultOptions) {
    this.#options = options;
    this.#isOver = options.groups.includes(DEFAULT_GROUP);
  }

  /** Looks for the group. Does not reject. */
  readonly look = async (link: RabbitLink): Promise<void> => {
    if (this.#isOver) return;
    this.#isOver = true;
    const { classify, queueName, logger } = this.#options;
    try {
      await this.#look(new Counts(link));
    } catch (error) {
      this.#isOver = classify(error) !== 'retryable';
      if (this.#isOver)
        logger.debug(
          `Queue ${JSON.stringify(queueName)}: cannot check for a group "default" without a consumer (${describeError(error)})`,
          { queue: queueName, group: DEFAULT_GROUP, error },
        );
    }
  };

  async #look(counts: Counts): Promise<void> {
    const { names, queueName, logger } = this.#options;
    const { queue, again } = names.group(DEFAULT_GROUP);
    const found = await counts.look(queue);
    const retried = found?.consumerCount === 0 ? await counts.waiting(again) : undefined;
    await counts.close();
    if (found?.consumerCount !== 0) return;
    const count = found.messageCount + (retried ?? 0);
    const deletion = (retried === undefined ? [queue] : [queue, again])
      .map((each) => this.#deletionOf(each))
      .join(' && ');
    warnOfUnreadGroup(logger, { queue: queueName, group: DEFAULT_GROUP, count, deletion });
  }

  /** `--` ends the options: a name may begin with a dash. */
  #deletionOf(queue: string): string {
    const { vhost } = this.#options;
    const where = vhost === undefined ? [] : ['--vhost', vhost];
    return shellCommand(['rabbitmqctl', 'delete_queue', ...where, '--', queue]);
  }
}
