import type { ConsumeOptions, Delivery, EventMap, QueueBackend } from '../backend.js';
import { QueueClosedError } from '../errors.js';
import { unawaited } from '../internal/answers.js';
import { onAbort } from '../internal/on-abort.js';
import { checkOptions, checkSignal } from '../internal/options.js';
import { turn } from '../internal/turn.js';

export type ReceiveOptions = Pick<ConsumeOptions, 'group' | 'signal'>;

/**
 * Takes exactly one message, which stays out until it is settled.
 *
 * *When to use*: in tests, and for request and reply, where one message is awaited at a time. For a service use `deliveries()`.
 *
 * *Gotchas*: give up by the signal, for instance `AbortSignal.timeout(1000)`, never by a `Promise.race`: an abort takes nothing out of the queue, while a
 * promise that lost a race still takes the next message, and nobody settles it.
 *
 * @example
 * ```ts
 * const delivery = await receive(queue, { signal: AbortSignal.timeout(1000) });
 * await delivery.ack();
 * ```
 * @throws {QueueClosedError} (a rejection, as all of these) when the queue is closed before a message came
 * @throws `signal.reason` when the signal aborted first; then nothing was taken
 * @throws {TypeError | RangeError} for an option without sense
 */
export function receive<Events extends EventMap<Events>>(
  queue: QueueBackend<Events>,
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
      // It had come, and the answer was on its way: back it goes.
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
            reject(new QueueClosedError(`Queue ${JSON.stringify(queue.name)} was closed while a message was awaited`)),
          );
      },
    });
  });
}
