import type { ObservableInput } from 'rxjs';
import { Observable as Observable6 } from 'rxjs6';
import ZenObservable from 'zen-observable';

// Defined after every library was loaded, so that all of them use '@@observable' and only what is written by hand has the symbol.
if (Symbol.observable === undefined) Object.defineProperty(Symbol, 'observable', { value: Symbol('observable') });

interface Producer {
  readonly closed?: boolean | undefined;
  next(value: number): void;
  error(error: unknown): void;
  complete(): void;
}

type Connect = (producer: Producer) => () => void;

/** RxJS 7 loaded a second time, with classes of its own. */
function otherRxjs(): typeof import('rxjs') {
  let copy!: typeof import('rxjs');
  jest.isolateModules(() => {
    copy = require('rxjs');
  });
  return copy;
}

function byHand(key: PropertyKey, connect: Connect, subscriptionOf: (leave: () => void) => unknown): object {
  const inner = { subscribe: (observer: Producer) => subscriptionOf(connect(observer)) };
  return { [key]: () => inner };
}

/** Ways to make an Observable that is not of the RxJS that the library imports. */
const makers: Readonly<Record<string, (connect: Connect) => object>> = {
  'RxJS 6': (connect) => new Observable6(connect),
  'another copy of RxJS 7': (connect) => new (otherRxjs().Observable)(connect),
  'zen-observable': (connect) => new ZenObservable(connect),
  'an object with Symbol.observable': (connect) =>
    byHand(Symbol.observable, connect, (unsubscribe) => ({ unsubscribe })),
  'an object with @@observable': (connect) => byHand('@@observable', connect, (unsubscribe) => ({ unsubscribe })),
  'an object whose subscription is a function': (connect) => byHand('@@observable', connect, (leave) => leave),
};

export type ForeignMaker = (connect: Connect) => ObservableInput<number>;

export const FOREIGN_OBSERVABLES = Object.entries(makers) as unknown as readonly [
  library: string,
  create: ForeignMaker,
][];

/** Emits the values within `subscribe`, then completes. */
export const emitAll =
  (...values: number[]): Connect =>
  (producer) => {
    for (const value of values) producer.next(value);
    producer.complete();
    return () => {};
  };
