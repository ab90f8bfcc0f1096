import type { Observable, Subscriber } from 'rxjs';
import type { ConsumeOptions, Delivery, DeliveryStream, QueueBackend } from '../backend.js';
import { checkConsumeOptions } from '../bridge/consume-options.js';
import { hasCredit, withCredit } from '../bridge/credit.js';
import {
  type CreditIntake,
  consumeDeliveries,
  createDeliveryStream,
  type DeliverySource,
} from '../bridge/delivery-stream.js';
import { forHandler, offerForHandler } from '../bridge/for-handler.js';
import { UnsupportedOperationError } from '../errors.js';
import { describe } from '../internal/describe.js';
import { checkObservable } from '../internal/observables.js';
import { checkFunction, checkMethods } from '../internal/options.js';
import { delegate } from './delegate.js';
import { DeliveryChain, type DeliveryInterceptor } from './delivery-chain.js';
import type { InterceptorContext, QueueInterceptor } from './interceptor.js';
import { interceptPublish, type Publish, type PublishInterceptor } from './publish-chain.js';

type AnyQueue = QueueBackend & {
  within?(transaction: unknown): { publish: Publish };
  tryPublish?(...entry: never[]): boolean;
};

/**
 * Wraps a queue in interceptors. Returns a queue with every member and the type of the given one.
 * The first interceptor is the outermost: it sees a published message first, and a delivery last.
 * Without interceptors, returns the queue itself.
 *
 * Everything that publishes or delivers passes the interceptors: `publish`, `within`, `deliveries`,
 * `consume`, `receive`, and whatever is given the intercepted queue, such as `publishTo`,
 * `AsyncLoopConsumer` or `deadLetter`.
 *
 * *Gotchas*: the given queue stays as it is. `peek` and `published$` show messages as they are
 * stored. `tryPublish` of a `MemoryBackend` throws if an interceptor has `publish`, which may need
 * time or add headers.
 *
 * @example
 * ```ts
 * const timed = intercept(queue, {
 *   async process({ key }, run) {
 *     const { duration, status } = await run();
 *     histogram.record(duration, { key, status });
 *   },
 * });
 * ```
 * @throws {TypeError} if the queue or an interceptor is invalid. The message names it.
 */
export function intercept<Queue extends QueueBackend>(
  queue: Queue,
  ...interceptors: readonly QueueInterceptor[]
): Queue {
  const target: AnyQueue = checkMethods<AnyQueue>('queue', queue, ['publish', 'consume', 'deliveries']);
  for (const [index, interceptor] of interceptors.entries()) checkInterceptor(index, interceptor);
  const publishing = interceptors.filter((one): one is PublishInterceptor => one.publish !== undefined);
  const delivering = interceptors.filter(({ deliver, process }) => (deliver ?? process) !== undefined);
  if (publishing.length + delivering.length === 0) return queue;
  return delegate(queue, {
    ...(publishing.length > 0 && publishMembers(target, publishing)),
    ...(delivering.length > 0 && deliverMembers(target, delivering)),
  });
}

function publishMembers(queue: AnyQueue, interceptors: readonly PublishInterceptor[]): Record<string, unknown> {
  const intercepted = (publisher: Pick<AnyQueue, 'publish'>): Publish =>
    interceptPublish((key, payload, options) => publisher.publish(key, payload, options), interceptors);
  const within = (transaction: unknown): object => {
    const publisher = (queue as Required<AnyQueue>).within(transaction);
    return delegate(publisher, { publish: intercepted(publisher) });
  };
  const tryPublish = (): never => {
    throw new UnsupportedOperationError(
      'An intercepted queue has no `tryPublish`: its interceptors may need time, or add headers. Use `publish`',
    );
  };
  return {
    publish: intercepted(queue),
    ...(queue.within !== undefined && { within }),
    ...(queue.tryPublish !== undefined && { tryPublish }),
  };
}

function deliverMembers(queue: AnyQueue, interceptors: readonly QueueInterceptor[]): Record<string, unknown> {
  const deliveries = (given?: ConsumeOptions): DeliveryStream => {
    // The queue refuses invalid options. Nothing connects before the first subscriber.
    const obeysCredit = hasCredit(queue.deliveries(given));
    const options = checkConsumeOptions(given);
    const streamOf = (isForHandler: boolean) =>
      createDeliveryStream(
        new InterceptedSource({ queue, interceptors, given, obeysCredit, forHandler: isForHandler }),
        options,
      );
    const stream = streamOf(false);
    offerForHandler(stream, () => streamOf(true));
    return stream;
  };
  const consume = (given?: ConsumeOptions): AsyncIterableIterator<object> => {
    queue.deliveries(given);
    const source = new InterceptedSource({ queue, interceptors, given, obeysCredit: false, forHandler: false });
    return consumeDeliveries(source, checkConsumeOptions(given));
  };
  return { deliveries, consume };
}

interface InterceptedSourceOptions {
  readonly queue: AnyQueue;
  readonly interceptors: readonly QueueInterceptor[];
  /** A third-party queue may have more options than the contract. */
  readonly given: ConsumeOptions | undefined;
  /** Whether the queue obeys a changing credit. */
  readonly obeysCredit: boolean;
  /** Whether the subscribers fail attempts. */
  readonly forHandler: boolean;
}

/** Connects each subscriber to the queue through the interceptors. */
class InterceptedSource implements DeliverySource {
  readonly #options: InterceptedSourceOptions;

  constructor(options: InterceptedSourceOptions) {
    this.#options = options;
  }

  get obeysCredit(): boolean {
    return this.#options.obeysCredit;
  }

  connect(subscriber: Subscriber<Delivery>, { group, prefetch, signal, credit, watched }: CreditIntake): void {
    if (signal?.aborted) {
      subscriber.complete();
      return;
    }
    const { queue, interceptors, given, forHandler: isForHandler } = this.#options;
    const context: InterceptorContext = { group };
    const stream = queue.deliveries({ ...given, group, prefetch, signal });
    const own: Observable<Delivery> = isForHandler ? forHandler(stream) : stream;
    // A subscriber whose stalls are reported gets the stream that reports them.
    const source = (watched ? undefined : withCredit(own, credit)) ?? own;
    const chain = new DeliveryChain(subscriber, {
      interceptors: interceptors.filter((one): one is DeliveryInterceptor => one.deliver !== undefined).reverse(),
      processHooks: interceptors.flatMap((one) =>
        one.process === undefined ? [] : [(delivery, run) => one.process?.(delivery, run, context)],
      ),
      context,
      forHandler: isForHandler,
      signal,
      credit,
    });
    chain.connect(checkObservable<Delivery>('deliveries()', source));
  }

  waitCancelled(): void {}
}

const METHODS = ['publish', 'deliver', 'process'] as const;

/** @throws {TypeError} unless the interceptor is one */
function checkInterceptor(index: number, interceptor: QueueInterceptor): void {
  const name = `interceptors[${index}]`;
  if (typeof interceptor !== 'object' || interceptor === null || Array.isArray(interceptor))
    throw new TypeError(`Expected \`${name}\` to be an interceptor, got ${describe(interceptor)}`);
  for (const method of METHODS) {
    if (interceptor[method] !== undefined) checkFunction(`${name}.${method}`, interceptor[method]);
  }
  // A misspelt method must not leave messages unencrypted.
  const [other] = Object.keys(interceptor).filter((member) => !METHODS.some((method) => method === member));
  if (other !== undefined && METHODS.every((method) => interceptor[method] === undefined)) {
    throw new TypeError(
      `Expected \`${name}\` to have a method \`publish\`, \`deliver\` or \`process\`, got an object with ${describe(other)}`,
    );
  }
}
