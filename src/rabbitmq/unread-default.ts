import { DEFAULT_GROUP } from '../bridge/consume-options.js';
import { shellCommand, warnOfUnreadGroup } from '../core/unread-group.js';
import { describeError } from '../internal/describe.js';
import type { QueueContext } from './context.js';
import type { RabbitLink } from './link.js';
import { QueueRequests } from './queue-requests.js';

export type UnreadDefaultOptions = Pick<QueueContext, 'queueName' | 'names' | 'groups' | 'vhost' | 'logger'> & {
  readonly failures: Pick<QueueContext['failures'], 'classify'>;
};

/**
 * Warns once of a group `default` that this backend does not declare and that has no consumer: it
 * retains every message. AMQP cannot list queues, so no other undeclared group is found.
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
    const { failures, queueName, logger } = this.#options;
    try {
      await this.#look(new QueueRequests(link));
    } catch (error) {
      this.#isOver = failures.classify(error) !== 'retryable';
      if (this.#isOver)
        logger.debug(
          `Queue ${JSON.stringify(queueName)}: cannot check for a group "default" without a consumer (${describeError(error)})`,
          { queue: queueName, group: DEFAULT_GROUP, error },
        );
    }
  };

  async #look(requests: QueueRequests): Promise<void> {
    const { names, queueName, logger } = this.#options;
    const { queue, again } = names.group(DEFAULT_GROUP);
    const found = await requests.look(queue);
    const retried = found?.consumerCount === 0 ? await requests.look(again) : undefined;
    await requests.close();
    if (found?.consumerCount !== 0) return;
    const queues = retried === undefined ? [queue] : [queue, again];
    warnOfUnreadGroup(logger, {
      queue: queueName,
      group: DEFAULT_GROUP,
      count: found.messageCount + (retried?.messageCount ?? 0),
      deletion: queues.map((each) => this.#deletionOf(each)).join(' && '),
    });
  }

  /** `--` ends the options: a name may begin with a dash. */
  #deletionOf(queue: string): string {
    const { vhost } = this.#options;
    const where = vhost === undefined ? [] : ['--vhost', vhost];
    return shellCommand(['rabbitmqctl', 'delete_queue', ...where, '--', queue]);
  }
}
