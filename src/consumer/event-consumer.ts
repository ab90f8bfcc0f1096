import type { AnyEvents, Delivery, EventMap, PayloadOf } from '../backend.js';
import type { HandlerContext } from '../operators/handle-options.js';

/**
 * Processes a message. It may return nothing, a promise, an Observable or an async iterable. When
 * that ends, the message is done. The handler fails if it throws, rejects or errors. Its results
 * are ignored.
 */
export type EventHandler<Events extends EventMap<Events> = AnyEvents> = (
  payload: PayloadOf<Events>,
  delivery: Delivery<Events>,
  context: HandlerContext,
) => unknown;

export interface ShutdownOptions {
  /**
   * How long running handlers may take to finish, in milliseconds >= 0, or Infinity. Then their
   * signals abort. Default: 30,000.
   */
  readonly timeout?: number | undefined;
}

/** Runs a handler for each message of a queue, until it is shut down. */
export interface EventConsumer<Events extends EventMap<Events> = AnyEvents> {
  /**
   * Resolves when the consumer has stopped or the queue has ended. Rejects if the backend has a
   * fatal error.
   */
  run(handler: EventHandler<Events>): Promise<void>;
  /** Starts no more handlers. Resolves when the running ones have finished. */
  shutdown(options?: ShutdownOptions): Promise<void>;
}
