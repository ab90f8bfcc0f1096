import type { AnyEvents, Delivery, EventMap, PayloadOf } from '../backend.js';
import type { HandlerContext } from '../operators/handle-options.js';

/**
 * What works on a message. It may return nothing, a promise, an Observable or an async iterable; when that ends, the message is done. To fail is to throw, to
 * reject or to error. What it returns otherwise is ignored.
 */
export type EventHandler<Events extends EventMap<Events> = AnyEvents> = (
  payload: PayloadOf<Events>,
  delivery: Delivery<Events>,
  context: HandlerContext,
) => unknown;

export interface ShutdownOptions {
  /** How long the handlers that run may take to finish, in milliseconds from 0 up, or Infinity; then their signals abort. Default: 30,000. */
  readonly timeout?: number | undefined;
}

/** Runs a handler over the messages of a queue, until it is told to stop. */
export interface EventConsumer<Events extends EventMap<Events> = AnyEvents> {
  /** Resolves when the consumer has stopped or the queue has ended; rejects if the backend fails for good. */
  run(handler: EventHandler<Events>): Promise<void>;
  /** Starts nothing more, and resolves when nothing runs any more. */
  shutdown(options?: ShutdownOptions): Promise<void>;
}
