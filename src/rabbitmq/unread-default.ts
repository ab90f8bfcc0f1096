import { DEFAULT_GROUP } from '../bridge/consume-options.js';
import { shellCommand, type UnreadGroup, UnreadGroups } from '../core/unread-group.js';
import type { QueueContext } from './context.js';
import type { RabbitLink } from './link.js';
import { QueueRequests } from './queue-requests.js';

export type UnreadDefaultOptions = Pick<QueueContext, 'queueName' | 'names' | 'groups' | 'vhost' | 'logger'> & {
  readonly failures: Pick<QueueContext['failures'], 'classify'>;
};

/**
 * Finds the group `default`, if this backend does not declare it and it has no consumer. AMQP cannot
 * list queues, so no other undeclared group is found.
 */
export function unreadDefault(options: UnreadDefaultOptions): UnreadGroups<RabbitLink> {
  const { failures, queueName, names, groups, vhost, logger } = options;

  async function* find(link: RabbitLink): AsyncGenerator<UnreadGroup> {
    if (groups.includes(DEFAULT_GROUP)) return;
    const requests = new QueueRequests(link);
    const { queue, again } = names.group(DEFAULT_GROUP);
    const found = await requests.look(queue);
    const retried = found?.consumerCount === 0 ? await requests.look(again) : undefined;
    await requests.close();
    if (found?.consumerCount !== 0) return;
    const queues = retried === undefined ? [queue] : [queue, again];
    yield {
      queue: queueName,
      group: DEFAULT_GROUP,
      count: found.messageCount + (retried?.messageCount ?? 0),
      deletion: queues.map(deletionOf).join(' && '),
    };
  }

  /** `--` ends the options: a name may begin with a dash. */
  function deletionOf(queue: string): string {
    const where = vhost === undefined ? [] : ['--vhost', vhost];
    return shellCommand(['rabbitmqctl', 'delete_queue', ...where, '--', queue]);
  }

  const isFinal = (error: unknown) => failures.classify(error) !== 'retryable';
  return new UnreadGroups({ queue: queueName, logger, find, isFinal });
}
