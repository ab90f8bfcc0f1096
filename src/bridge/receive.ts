import type { ConsumeOptions, Delivery, EventMap, QueueBackend } from '../backend.js';
import { QueueClosedError } from '../errors.js';
import { unawaited } from '../internal/answers.js';
import { onAbort } from '../internal/on-abort.js';
import { checkOptions, checkSignal } from '../internal/options.js';
import { turn } from '../internal/turn.js';

export type ReceiveOptions = Pick<ConsumeOptions, 'group' | 'signal'>;

/**
 * Receives exactly one message.
 *
 * *When to use*: in tests, and for request and reply, where one message is awaited at a time. For a
 * service use `deliveries()`.
 *
 * *Gotchas*: to give up, abort the signal, for instance `AbortSignal.timeout(1000)`. Do not use
 * `Promise.race`: the promise that lost still receives the next message, which then stays in
 * flight.
 *
 * @example
 * ```ts
 * const delivery = await receive(queue, { signal: AbortSignal.timeout(1000) });
 * await delivery.ack();
 * ```
 * @throws {QueueClosedError} (a rejection, like all others) if the queue is closed before a message
 * arrives
 * @throws `signal.reason` if the signal aborts first. Then no message was taken.
 * @throws {TypeError | RangeError} if an option is invalid. The message names the option.
 */
export function receive<Events extends EventMap<Events>>(
  queue: Pick<QueueBackend<Events>, 'name' | 'deliveries'>,
  options?: ReceiveOptions,
): Promise<Delivery<Events>> {
  return new Promise((resolve, reject) => {
    const { group, signal } = checkOptions(options);
    checkSignal('signal', signal);
    if (signal?.aborted) {
      reject(signal.reason);
      return;
    }
    const intake = new AbortController();
    const deliveries = queue.deliveries({ group, prefetch: 1, signal: intake.signal });
    let taken: Delivery<Events> | undefined;
    const settle = (how: () => void) => {
      ignoreAbort();
      how();
    };
    const ignoreAbort = onAbort(signal, () => {
      settle(() => reject(signal?.reason));
      intake.abort();
      // The message has arrived, but the promise is not resolved yet: requeue the message.
      unawaited(taken?.release());
    });
    deliveries.subscribe({
      next: (delivery) => {
        taken = delivery;
        intake.abort();
        turn.run(() => settle(() => resolve(delivery)));
      },
      error: (error: unknown) => settle(() => reject(error)),
      complete: () => {
        if (taken === undefined)
          settle(() =>
            reject(new QueueClosedError(`Queue ${JSON.stringify(queue.name)} was closed before a message arrived`)),
          );
      },
    });
  });
}
