import type { ConsumerGroup, Delivery, PublishOptions, QueueKey, QueuePayload } from '../backend.js';
import type { Outcome } from '../internal/outcome.js';

/** A message on its way to the queue. Not validated yet. */
export interface PublishedMessage {
  readonly key: QueueKey;
  /** The object of the caller: not copied. */
  readonly payload: QueuePayload;
  /** The options of the publish. An empty object if there are none. */
  readonly options: PublishOptions;
}

/** Where a delivery goes. */
export interface InterceptorContext {
  /** The group of the consumer. */
  readonly group: ConsumerGroup;
}

/**
 * Wraps what passes through a queue: validation, tracing, encryption, metrics or your own. Each
 * method is optional. Use it with `intercept`.
 *
 * *Gotchas*: a method may be `async`. On memory, a publish or a delivery then takes effect some
 * microtasks later, and no longer within the call. Deliveries keep their order then, but a publish
 * may overtake an earlier one whose interceptor takes longer: to keep the order, await each publish.
 */
export interface QueueInterceptor {
  /**
   * Around each publish. Calls `next` once, with the message or a changed one, and returns its
   * promise. Without a call of `next`, the message is dropped, and the publish resolves. A second
   * call of `next` publishes nothing and is an error. If the method throws or rejects, the publish
   * rejects with that error.
   *
   * The signal of the publish ends it, whatever this method waits for.
   */
  publish?(message: PublishedMessage, next: (message: PublishedMessage) => Promise<void>): Promise<void>;

  /**
   * Sees each delivery before its subscriber does. Returns the delivery, a view of it (see
   * `viewDelivery`), or undefined if the interceptor settles it.
   *
   * It may return a promise. Deliveries keep their order, and up to `prefetch` of these promises
   * are pending at a time.
   *
   * If it throws or rejects, the attempt of `handle` or `AsyncLoopConsumer` fails with that error,
   * as if its handler had thrown it. For another consumer, the error is logged and the message is
   * requeued after a delay; with an `UnrecoverableError`, it is rejected.
   */
  deliver?(delivery: Delivery, context: InterceptorContext): Delivery | undefined | Promise<Delivery | undefined>;

  /**
   * Around each run of a handler by `handle` and `AsyncLoopConsumer`. `run` starts the handler
   * before it returns, in the asynchronous context of its caller, and resolves to the outcome of
   * the attempt. It never rejects. If the consumer has stopped meanwhile, or the queue has taken the
   * message back, the handler does not run, and the outcome is `'released'` or `'retried'`.
   *
   * If the method throws, rejects, or ends without a call of `run` or a settlement, the attempt
   * fails, unless it has its outcome already: then the error is logged. The `timeout` of the
   * handler includes the time before `run` is called.
   */
  process?(delivery: Delivery, run: () => Promise<Outcome>, context: InterceptorContext): Promise<unknown>;
}
