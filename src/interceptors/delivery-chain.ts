import type { Observable, Subscriber } from 'rxjs';
import type { Delivery } from '../backend.js';
import type { Credit } from '../bridge/credit.js';
import { UnrecoverableError } from '../errors.js';
import { answerTo, isThenable, unawaited } from '../internal/answers.js';
import { AsyncContext, isContextInUse } from '../internal/async-context.js';
import { BlockQueue } from '../internal/block-queue.js';
import { logFailure } from '../internal/delivery-log.js';
import { viewDelivery } from '../internal/delivery-view.js';
import { describe } from '../internal/describe.js';
import { exponentialBackoff } from '../internal/exponential-backoff.js';
import { type Interception, interceptionOf, noteInterception, type ProcessHook } from '../internal/interception.js';
import { defaultLogger, shieldLogger } from '../internal/logger.js';
import { onAbort } from '../internal/on-abort.js';
import { Sink, type SourceObserver } from '../internal/sink.js';
import type { InterceptorContext, QueueInterceptor } from './interceptor.js';

/** An interceptor of deliveries. */
export type DeliveryInterceptor = QueueInterceptor & Required<Pick<QueueInterceptor, 'deliver'>>;

export interface DeliveryChainOptions {
  /** In the order in which they see a delivery: the innermost first. */
  readonly interceptors: readonly DeliveryInterceptor[];
  /** Run around each handler, the outermost first. */
  readonly processHooks: readonly ProcessHook[];
  readonly context: InterceptorContext;
  /** Whether the subscriber takes the deliveries on which an interceptor has failed. */
  readonly forHandler: boolean;
  /** The signal of the intake. */
  readonly signal: AbortSignal | undefined;
  /** It is not quiet while deliveries wait for an interceptor. */
  readonly credit: Credit;
}

/** What the subscriber gets: nothing, if it is undefined. */
type Intercepted = Delivery | undefined | Promise<Delivery | undefined>;

/** A delivery whose interceptors are at work, or that waits for one before it. */
interface Slot {
  readonly delivery: Delivery;
  /** Whether it is known what the subscriber gets: `result`, or nothing. */
  done: boolean;
  result: Delivery | undefined;
}

const logger = shieldLogger(defaultLogger);
const redeliveryDelay = exponentialBackoff();

/**
 * One subscription to an intercepted stream: each delivery passes the interceptors, and is emitted
 * in order.
 *
 * While nothing waits and no interceptor returns a promise, everything happens within the call of
 * the source.
 */
export class DeliveryChain implements SourceObserver<Delivery> {
  readonly #subscriber: Subscriber<Delivery>;
  readonly #options: DeliveryChainOptions;
  readonly #source = new Sink<Delivery>(this, true, true);
  readonly #asyncContext = new AsyncContext();
  readonly #own: Interception | undefined;
  /** The last combination with an inner queue's interception: all its deliveries share one. */
  #combined: { readonly inner: Interception; readonly both: Interception } | undefined;
  /** The delivery that is emitted next, and those after it. */
  #first: Slot | undefined;
  readonly #others = new BlockQueue<Slot>();
  /** Whether the credit is held. */
  #holds = false;

  constructor(subscriber: Subscriber<Delivery>, options: DeliveryChainOptions) {
    this.#subscriber = subscriber;
    this.#options = options;
    this.#own = options.processHooks.length > 0 ? { processHooks: options.processHooks } : undefined;
  }

  connect(source: Observable<Delivery>): void {
    const ignoreAbort = onAbort(this.#options.signal, () => this.#releaseAll());
    this.#subscriber.add(() => {
      ignoreAbort();
      this.#releaseAll();
      this.#source.unsubscribe();
    });
    source.subscribe(this.#source);
  }

  take(delivery: Delivery): void {
    // A source that emits within `subscribe` may emit after the unsubscribe.
    if (this.#subscriber.closed) {
      release(delivery);
      return;
    }
    const { interceptors } = this.#options;
    const result =
      interceptors.length > 0 && isContextInUse() ? this.#interceptInContext(delivery) : this.#intercept(delivery);
    if (result instanceof Promise) this.#await(delivery, result);
    else if (this.#first !== undefined) this.#others.push({ delivery, done: true, result });
    else this.#emit(delivery, result);
  }

  exhaust(failure?: { readonly error: unknown }): void {
    // The queue is closed, or has failed: nobody waits for an interceptor any more.
    this.#releaseAll();
    if (failure === undefined) this.#subscriber.complete();
    else this.#subscriber.error(failure.error);
  }

  /** Separate from `take`: a closure in a function costs each of its calls. */
  #interceptInContext(delivery: Delivery): Intercepted {
    return this.#asyncContext.run(() => this.#intercept(delivery));
  }

  /** Passes a delivery through the interceptors. Returns a promise only if one of them does. */
  #intercept(delivery: Delivery): Intercepted {
    const { interceptors, context } = this.#options;
    // An interceptor of the inner queue has failed on it.
    if (interceptors.length === 0 || interceptionOf(delivery)?.failure !== undefined) return delivery;
    let current = delivery;
    try {
      for (let index = 0; index < interceptors.length; index++) {
        const result = (interceptors[index] as DeliveryInterceptor).deliver(current, context);
        // The common case first.
        if (result === current) continue;
        if (result === undefined) return undefined;
        if (isThenable(result)) return this.#interceptLater(delivery, result, index + 1);
        current = checked(result);
      }
      return current;
    } catch (error) {
      return this.#failed(delivery, error);
    }
  }

  async #interceptLater(
    delivery: Delivery,
    pending: PromiseLike<Delivery | undefined>,
    next: number,
  ): Promise<Delivery | undefined> {
    const { interceptors, context } = this.#options;
    try {
      let result = await pending;
      for (const interceptor of interceptors.slice(next)) {
        if (result === undefined) return undefined;
        result = await interceptor.deliver(checked(result), context);
      }
      return result === undefined ? undefined : checked(result);
    } catch (error) {
      return this.#failed(delivery, error);
    }
  }

  #await(delivery: Delivery, pending: Promise<Delivery | undefined>): void {
    const slot: Slot = { delivery, done: false, result: undefined };
    if (this.#first === undefined) {
      this.#first = slot;
      this.#hold();
    } else this.#others.push(slot);
    void pending.then((result) => {
      slot.done = true;
      slot.result = result;
      this.#emitReady();
    });
  }

  /** Emits what nothing has to wait for. */
  #emitReady(): void {
    for (let slot = this.#first; slot !== undefined; slot = this.#first) {
      if (!slot.done) return;
      this.#shift();
      this.#emit(slot.delivery, slot.result);
    }
    this.#letGo();
  }

  #shift(): void {
    this.#first = this.#others.length > 0 ? this.#others.shift() : undefined;
  }

  /** Releases what was not emitted: it keeps its attempt. What an interceptor has taken is its own. */
  #releaseAll(): void {
    for (let slot = this.#first; slot !== undefined; slot = this.#first) {
      this.#shift();
      if (!slot.done || slot.result !== undefined) release(slot.delivery);
    }
    this.#letGo();
  }

  #hold(): void {
    if (this.#holds) return;
    this.#holds = true;
    this.#options.credit.hold();
  }

  #letGo(): void {
    if (!this.#holds) return;
    this.#holds = false;
    this.#options.credit.letGo();
  }

  #emit(delivery: Delivery, result: Delivery | undefined): void {
    if (result === undefined || delivery.settled) return;
    const inner = interceptionOf(delivery);
    const interception = inner === undefined || inner.failure !== undefined ? this.#own : this.#combine(inner);
    if (interception === undefined || interceptionOf(result)?.failure !== undefined) this.#subscriber.next(result);
    else this.#subscriber.next(noted(result, interception));
  }

  #combine(inner: Interception): Interception {
    if (this.#own === undefined) return inner;
    if (this.#combined?.inner !== inner) {
      const processHooks = [...this.#own.processHooks, ...inner.processHooks];
      this.#combined = { inner, both: { processHooks } };
    }
    return (this.#combined as { both: Interception }).both;
  }

  /** Fails the attempt of a handler with the error. Any other consumer never sees the delivery. */
  #failed(delivery: Delivery, error: unknown): Delivery | undefined {
    const what = 'An interceptor failed';
    if (delivery.settled) {
      logFailure(logger, 'error', what, delivery, error, `its delivery was already ${delivery.settled}`);
      return undefined;
    }
    if (this.#options.forHandler) return noted(delivery, { processHooks: [], failure: { error } });
    if (UnrecoverableError.is(error)) {
      logFailure(logger, 'error', what, delivery, error, 'its message is rejected');
      unawaited(answerTo(() => delivery.reject(error)));
    } else {
      const delay = Math.round(redeliveryDelay(error, delivery.attempt));
      logFailure(logger, 'error', what, delivery, error, `next try in ${delay} ms`);
      unawaited(answerTo(() => delivery.nack({ delay })));
    }
    return undefined;
  }
}

/** Notes an interception on a delivery, or on a view of one that is frozen. */
function noted(delivery: Delivery, interception: Interception): Delivery {
  // To ask `Object.isExtensible` first would take 40 ns.
  try {
    noteInterception(delivery, interception);
    return delivery;
  } catch {
    const view = viewDelivery(delivery, {});
    noteInterception(view, interception);
    return view;
  }
}

function release(delivery: Delivery): void {
  if (!delivery.settled) unawaited(answerTo(() => delivery.release()));
}

function checked(result: unknown): Delivery {
  if (typeof (result as Partial<Delivery> | null)?.ack === 'function') return result as Delivery;
  throw new TypeError(
    `Expected \`deliver\` of an interceptor to return a delivery or undefined, got ${describe(result)}`,
  );
}
