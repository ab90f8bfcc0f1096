import { describeError } from '../internal/describe.js';
import { exponentialBackoff } from '../internal/exponential-backoff.js';
import type { Arrival } from './arrival.js';
import type { Incoming } from './client.js';
import type { GroupChannel } from './group-channel.js';
import type { GroupLog } from './group-log.js';
import type { QueueNames } from './names.js';
import type { Publisher } from './publisher.js';
import { codeOf } from './rabbitmq-errors.js';

export interface AsideOptions {
  readonly queueName: string;
  readonly names: QueueNames;
  readonly publisher: Publisher;
  readonly log: GroupLog;
}

const backoff = exponentialBackoff({ initial: 50, max: 5000, jitter: 0.5 });

/**
 * Moves what was delivered to a queue of its own, and acknowledges it then; tries again for as long as its channel lasts. Resolves to whether that counted.
 * @param what the message is, as the log says it
 */
export async function moveAside(
  channel: GroupChannel<Arrival>,
  original: Incoming,
  what: string,
  reason: string,
  options: AsideOptions,
): Promise<boolean> {
  const { publisher, queueName, names, log } = options;
  const { messageId: id, type: key } = original;
  const which = `A message that was delivered from queue ${JSON.stringify(queueName)} ${what}: ${reason}.`;
  let kept = original;
  for (let tried = 1; !channel.isOver; tried++) {
    try {
      await publisher.setAside(kept, reason);
      const without = kept === original ? '' : ' without its headers, which left no room for the reason,';
      log.error(`${which} It is in quarantine,${without} in the queue ${JSON.stringify(names.aside)}.`, { key, id });
      return await channel.settle({ tag: original.deliveryTag }, 'ack');
    } catch (error) {
      if (tried === 1)
        log.error(`${which} It cannot be put in quarantine yet: ${describeError(error)}`, { key, id, error });
      // With the reason, its headers are more than a frame holds.
      if (codeOf((error as Error).cause) === 'CODEC') kept = { ...original, headers: {} };
      await channel.lasts(backoff(undefined, tried));
    }
  }
  return false;
}
