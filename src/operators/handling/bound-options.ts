import { AsyncContext } from '../../internal/async-context.js';
import type { CheckedHandleOptions } from '../handle-options.js';

/** The options of one subscription, whose functions run in its asynchronous context. */
export interface BoundHandleOptions extends CheckedHandleOptions {
  readonly context: AsyncContext;
}

/**
 * Binds the functions of the options to the context of this call. The handler is not among them:
 * `Workers` enters the context for it, since what it returns is subscribed to in there, too.
 */
export function bindOptions(options: CheckedHandleOptions): BoundHandleOptions {
  const context = new AsyncContext();
  const { orderBy, retryDelay, deadLetter, onOutcome, logger } = options;
  return {
    ...options,
    context,
    orderBy: orderBy && context.bind(orderBy),
    retryDelay: context.bind(retryDelay),
    deadLetter:
      typeof deadLetter === 'function'
        ? context.bind(deadLetter)
        : deadLetter && { publish: context.bind((...message) => deadLetter.publish(...message)) },
    onOutcome: onOutcome && context.bind(onOutcome),
    logger: { debug: context.bind(logger.debug), warn: context.bind(logger.warn), error: context.bind(logger.error) },
  };
}
