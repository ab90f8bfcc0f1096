import type { ObservableInput } from 'rxjs';
import { Sink, type SourceObserver } from '../internal/sink.js';
import { PullIterator } from './pull-iterator.js';
import { toObservable } from './source.js';

/** Iterates over an Observable. Subscribes on the first `next()`, and unsubscribes at the end. */
export abstract class SourceIterator<Source, Value> extends PullIterator<Value> implements SourceObserver<Source> {
  readonly #source: ObservableInput<Source>;
  #sink: Sink<Source> | undefined;

  constructor(source: ObservableInput<Source>, signal: AbortSignal | undefined) {
    super(signal);
    this.#source = source;
  }

  abstract take(value: Source): void;

  /** Drops the values that no call has returned. */
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
