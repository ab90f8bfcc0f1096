import type { ObservableInput } from 'rxjs';
import { Observable as Observable6 } from 'rxjs6';
import ZenObservable from 'zen-observable';

// Defined after every library is loaded: all libraries use '@@observable', and only the handwritten
// Observables use the symbol.
if (Symbol.observable === undefined) Object.defineProperty(Symbol, 'observable', { value: Symbol('observable') });

interface Producer {
  readonly closed?: boolean | undefined;
  next(value: number): void;
  error(error: unknown): void;
  complete(): void;
}

type Connect = (producer: Producer) => () => void;

/** Loads RxJS 7 a second time, with separate classes. */
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

/** Creates Observables that do not come from the RxJS version that the library imports. */
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
