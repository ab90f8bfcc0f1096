import type { GroupHost } from '../core/group-loop.js';
import { describeError } from '../internal/describe.js';
import { exponentialBackoff } from '../internal/exponential-backoff.js';
import type { Arrival } from './arrival.js';
import type { Incoming } from './client.js';
import type { GroupChannel } from './group-channel.js';
import { codeOf } from './rabbitmq-errors.js';
import type { SessionOptions } from './session-options.js';

const backoff = exponentialBackoff({ initial: 50, max: 5000, jitter: 0.5 });

/**
 * Copies a message to the quarantine, then acknowledges it. Tries again while the channel lasts.
 * Resolves to whether that counted.
 * @param what is wrong with the message, such as `is no message`
 */
export async function quarantine(
  channel: GroupChannel<Arrival>,
  original: Incoming,
  what: string,
  reason: string,
  { host, options }: { readonly host: GroupHost; readonly options: SessionOptions },
): Promise<boolean> {
  const { publisher, queueName, names, log } = options;
  const { messageId: id, type: key } = original;
  const which = `Message ${JSON.stringify(id ?? null)} from queue ${JSON.stringify(queueName)}`;
  let kept = original;
  for (let attempt = 1; !channel.isOver; attempt++) {
    try {
      await publisher.quarantine(kept, reason);
      // The headers of the message leave no room for the reason.
      const without = kept === original ? '' : ', without its headers';
      host.quarantined(which, `${what}: ${reason}`, `the queue ${JSON.stringify(names.quarantine)}${without}`);
      return await channel.settle({ tag: original.deliveryTag }, 'ack');
    } catch (error) {
      if (attempt === 1)
        log.error(`${which} ${what}: ${reason}. It cannot be put in quarantine yet: ${describeError(error)}`, {
          key,
          id,
          error,
        });
      // With the reason, the headers are more than a frame holds.
      if (codeOf((error as Error).cause) === 'CODEC') kept = { ...original, headers: {} };
      await channel.lasts(backoff(undefined, attempt));
    }
  }
  return false;
}
