import type { AnyEvents, EventMap, QueueBackend } from '../backend.js';
import { InvalidMessageError, QueueClosedError, UnrecoverableError } from '../errors.js';
import { checkMethods, checkOptions } from '../internal/options.js';
import { AsyncLoopConsumer, type AsyncLoopConsumerOptions } from './async-loop-consumer.js';
import type { EventConsumer } from './event-consumer.js';

/** Moves messages from one queue to another. */
export interface Forwarder extends Pick<EventConsumer, 'shutdown'> {
  /**
   * Resolves when the forwarder was shut down, or the source has ended. Rejects if the source has a
   * fatal error, or if the target was closed. Any other failure of the target is logged and retried.
   */
  run(): Promise<void>;
}

/** Every message in one order, each retried in its place until the target takes it. */
const inOrder = () => '';

/**
 * Moves every message of a queue to another queue, such as from an outbox in PostgreSQL to a
 * broker: at least once, in order. A message keeps its key and headers. Its `id` is the id for
 * deduplication, so that a target that remembers ids stores it once.
 *
 * *When to use*: to publish to a broker if and only if a transaction commits. Publish to the outbox
 * with `within`.
 *
 * *Gotchas*: a message that the target can never store, such as one that is too large, goes to
 * `deadLetter`. Without it, the message is rejected, and logged as an error. With `concurrency`
 * above 1, use `orderBy: 'key'`: then only the messages of one key keep their order.
 * @param options those of a consumer. Default: one message at a time, retried until it succeeds
 * @throws {TypeError | RangeError} if an option is invalid. The message names the option.
 */
export function forward<Events extends EventMap<Events> = AnyEvents>(
  source: QueueBackend<Events>,
  target: QueueBackend<Events>,
  options?: AsyncLoopConsumerOptions<Events>,
): Forwarder {
  checkMethods('target', target, ['publish']);
  const { retry, orderBy = inOrder, ...others } = checkOptions(options);
  const { count = Number.POSITIVE_INFINITY, delay } = checkOptions(retry, 'retry');
  const consumer = new AsyncLoopConsumer(source, { ...others, orderBy, retry: { count, delay } }) as AsyncLoopConsumer;
  const { publish } = target as unknown as QueueBackend;
  return {
    async run() {
      let closed: { readonly error: unknown } | undefined;
      await consumer.run(async (payload, { key, headers, id }, { signal }) => {
        try {
          await publish.call(target, key, payload, { headers, id, signal });
        } catch (error) {
          if (InvalidMessageError.is(error)) throw new UnrecoverableError(error.message, { cause: error });
          if (QueueClosedError.is(error)) {
            closed = { error };
            void consumer.shutdown({ timeout: 0 });
          }
          throw error;
        }
      });
      if (closed !== undefined) throw closed.error;
    },
    shutdown: (shutdownOptions) => consumer.shutdown(shutdownOptions),
  };
}
