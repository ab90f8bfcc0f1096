import type { ObservableInput } from 'rxjs';
import { Sink, type SourceObserver } from '../internal/sink.js';
import { PullIterator } from './pull-iterator.js';
import { toObservable } from './source.js';

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
