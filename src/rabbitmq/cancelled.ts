import type { Arrival } from './arrival.js';
import type { GroupChannel } from './group-channel.js';
import { codeOf, consumerTimedOut } from './rabbitmq-errors.js';
import type { SessionOptions } from './session-options.js';

export interface Cancellation {
  readonly error: unknown;
  /** As in `GroupChannelOptions.onCancelled`. */
  readonly queue: string | undefined;
  /** How many messages the subscriber may have in flight. */
  readonly prefetch: number;
}

/**
 * Logs why a consumer gets no more messages. Closes its channel, which requeues its messages in
 * flight.
 */
export async function closeCancelled(
  channel: GroupChannel<Arrival>,
  cancellation: Cancellation,
  { queueName, group, log }: Pick<SessionOptions, 'queueName' | 'group' | 'log'>,
): Promise<void> {
  const { error, prefetch } = cancellation;
  if (await isTimedOut(channel, cancellation)) log.error(consumerTimedOut(queueName, prefetch), { error });
  else {
    const which = `group ${JSON.stringify(group)} of queue ${JSON.stringify(queueName)}`;
    log.warn(
      `RabbitMQ has cancelled the consumer of ${which}, for instance since its queue was deleted: it is declared again`,
      error,
    );
  }
  await channel.close();
}

/**
 * From version 4.3 on, RabbitMQ cancels a consumer if a message was in flight for longer than the
 * `consumer_timeout`; older versions close the channel. The cancellation has no reason. But after a
 * timeout the queue still counts the consumer. A deleted queue has none, unless another process has
 * already declared it again and consumes from it: then the cause that is logged is wrong.
 */
async function isTimedOut(channel: GroupChannel<Arrival>, { error, queue }: Cancellation): Promise<boolean> {
  if (queue === undefined || codeOf(error) !== 'CANCEL_FORCED') return false;
  // If the queue is gone, or the broker does not answer, the channel ends.
  return channel.isConsumed(queue).catch(() => false);
}
