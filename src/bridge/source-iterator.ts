import { type ObservableInput, Subscriber } from 'rxjs';
import { PullIterator } from './pull-iterator.js';
import { toObservable } from './source.js';

/** What a subscription tells the iterator that made it. */
interface SourceObserver<Value> {
  take(value: Value): void;
  exhaust(failure?: { readonly error: unknown }): void;
}

/** An iterator over an Observable that it subscribes to on the first `next()`, and leaves when it ends. */
export abstract class SourceIterator<Source, Value> extends PullIterator<Value> implements SourceObserver<Source> {
  readonly #source: ObservableInput<Source>;
  #sink: Sink<Source> | undefined;

  constructor(source: ObservableInput<Source>, signal: AbortSignal | undefined) {
    super(signal);
    this.#source = source;
  }

  /** A value came from the source. */
  abstract take(value: Source): void;

  /** It is over: forget what was never handed over. */
  protected abstract discard(): void;

  protected override open(): void {
    this.#sink = new Sink<Source>(this);
    toObservable(this.#source).subscribe(this.#sink);
  }

  protected override shut(): void {
    this.discard();
    this.unsubscribe();
  }

  protected unsubscribe(): void {
    this.#sink?.unsubscribe();
  }
}

/**
 * A subscriber of its own, for two reasons: it exists before `subscribe` returns, so that a source that emits synchronously without an end can be
 * left; and it spares each value the two calls of the wrapper that RxJS puts around a plain observer.
 */
class Sink<Value> extends Subscriber<Value> {
  readonly #observer: SourceObserver<Value>;

  constructor(observer: SourceObserver<Value>) {
    super();
    this.#observer = observer;
  }

  protected override _next(value: Value): void {
    this.#observer.take(value);
  }

  protected override _error(error: unknown): void {
    this.#end({ error });
  }

  protected override _complete(): void {
    this.#end();
  }

  #end(failure?: { readonly error: unknown }): void {
    // A teardown that throws does not keep the end from the consumer.
    try {
      this.unsubscribe();
    } finally {
      this.#observer.exhaust(failure);
    }
  }
}
