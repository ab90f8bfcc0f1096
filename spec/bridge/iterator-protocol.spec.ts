import { upTo } from '../support/consumers.js';
import { ITERATOR_CASES, type IteratorSubject } from '../support/iterator-subjects.js';
import { outcomeOf, rejectionOf, stateOf, turns } from '../support/promises.js';
import { listenersOf } from '../support/signals.js';

const DONE = { done: true, value: undefined };

describe.each(ITERATOR_CASES)('Async-iterator protocol of $name', ({ create }) => {
  const nexts = (subject: IteratorSubject, count: number): Promise<IteratorResult<unknown>>[] =>
    upTo(count).map(() => subject.iterator.next());
  const numbers = async (
    subject: IteratorSubject,
    results: Promise<IteratorResult<unknown>>[],
  ): Promise<(number | 'done')[]> =>
    (await Promise.all(results)).map(({ done, value }) => (done ? 'done' : subject.read(value)));

  it('returns itself when asked for an iterator', () => {
    const { iterator } = create();
    expect(iterator[Symbol.asyncIterator]()).toBe(iterator);
  });

  it('does not subscribe before the first next()', async () => {
    const { signal } = new AbortController();
    const subject = create(signal);
    subject.push(1);
    subject.iterator[Symbol.asyncIterator]();
    await turns();
    expect(subject.connected()).toBe(false);
    expect(listenersOf(signal)).toBe(0);
  });

  it('subscribes on the first next()', async () => {
    const subject = create();
    subject.push(1);
    const first = subject.iterator.next();
    expect(subject.connected()).toBe(true);
    expect(await numbers(subject, [first])).toEqual([1]);
  });

  it('resolves pending next() calls in order, each with its own value', async () => {
    const subject = create();
    const results = nexts(subject, 3);
    const order: number[] = [];
    results.forEach((result, index) => {
      void result.then(() => order.push(index));
    });
    for (const n of upTo(3)) subject.push(n);
    expect(await numbers(subject, results)).toEqual([1, 2, 3]);
    expect(order).toEqual([0, 1, 2]);
  });

  it('keeps a next() pending while there is no value', async () => {
    const subject = create();
    const [first, second] = nexts(subject, 2);
    subject.push(1);
    expect(await stateOf(first as Promise<unknown>)).toBe('fulfilled');
    expect(await stateOf(second as Promise<unknown>)).toBe('pending');
  });

  it('resolves every pending next() with done, and then return()', async () => {
    const subject = create();
    const settled: string[] = [];
    const results = nexts(subject, 3);
    results.forEach((result, index) => {
      void result.then(() => settled.push(`next ${index}`));
    });
    const returned = subject.iterator.return('left');
    void returned.then(() => settled.push('return'));
    expect(await Promise.all(results)).toEqual([DONE, DONE, DONE]);
    expect(await returned).toEqual({ done: true, value: 'left' });
    expect(settled).toEqual(['next 0', 'next 1', 'next 2', 'return']);
  });

  it('unsubscribes synchronously in return() while a next() is pending', () => {
    const { signal } = new AbortController();
    const subject = create(signal);
    void subject.iterator.next();
    expect(listenersOf(signal)).toBe(1);
    void subject.iterator.return();
    expect(subject.connected()).toBe(false);
    expect(listenersOf(signal)).toBe(0);
  });

  it('stays done after return()', async () => {
    const subject = create();
    await subject.iterator.return();
    subject.push(1);
    expect(await Promise.all(nexts(subject, 2))).toEqual([DONE, DONE]);
    expect(subject.connected()).toBe(false);
  });

  it('returns the value of every return()', async () => {
    const { iterator } = create();
    expect(await iterator.return(1)).toEqual({ done: true, value: 1 });
    expect(await iterator.return(2)).toEqual({ done: true, value: 2 });
    expect(await iterator.return()).toEqual(DONE);
  });

  it('rejects throw(e) with e and resolves pending next() calls with done', async () => {
    const { signal } = new AbortController();
    const subject = create(signal);
    const results = nexts(subject, 2);
    const error = new Error('thrown in');
    expect(await rejectionOf(subject.iterator.throw(error))).toBe(error);
    expect(await Promise.all(results)).toEqual([DONE, DONE]);
    expect(await subject.iterator.next()).toEqual(DONE);
    expect(subject.connected()).toBe(false);
    expect(listenersOf(signal)).toBe(0);
  });

  it('rejects throw(e) with e before the first next() and after the end, too', async () => {
    const { iterator } = create();
    expect(await rejectionOf(iterator.throw('first'))).toBe('first');
    expect(await rejectionOf(iterator.throw('second'))).toBe('second');
    expect(await iterator.next()).toEqual(DONE);
  });

  it('resolves pending next() calls with done on an abort, without an error', async () => {
    const controller = new AbortController();
    const subject = create(controller.signal);
    const results = nexts(subject, 3);
    subject.push(1);
    controller.abort(new Error('not to be seen'));
    expect(await numbers(subject, results)).toEqual([1, 'done', 'done']);
    expect(await subject.iterator.next()).toEqual(DONE);
    expect(listenersOf(controller.signal)).toBe(0);
  });

  it('is empty and does not subscribe if the signal is already aborted', async () => {
    const subject = create(AbortSignal.abort());
    subject.push(1);
    const results = nexts(subject, 2);
    expect(subject.connected()).toBe(false);
    expect(await Promise.all(results)).toEqual([DONE, DONE]);
  });

  it('is empty if the signal aborts between creation and the first next()', async () => {
    const controller = new AbortController();
    const subject = create(controller.signal);
    subject.push(1);
    controller.abort();
    expect(await subject.iterator.next()).toEqual(DONE);
    expect(subject.connected()).toBe(false);
    expect(listenersOf(controller.signal)).toBe(0);
  });

  it('returns the values of a completed source, then is done', async () => {
    const { signal } = new AbortController();
    const subject = create(signal);
    const results = nexts(subject, 1);
    for (const n of upTo(3)) subject.push(n);
    subject.complete();
    results.push(...nexts(subject, 4));
    expect(await numbers(subject, results)).toEqual([1, 2, 3, 'done', 'done']);
    expect(listenersOf(signal)).toBe(0);
    expect(subject.connected()).toBe(false);
  });

  it('resolves every pending next() with done when the source completes', async () => {
    const subject = create();
    const results = nexts(subject, 3);
    subject.complete();
    expect(await Promise.all(results)).toEqual([DONE, DONE, DONE]);
  });

  it('ends by Symbol.asyncDispose', async () => {
    const { signal } = new AbortController();
    const subject = create(signal);
    const pending = subject.iterator.next();
    expect(await subject.iterator[Symbol.asyncDispose]()).toBeUndefined();
    expect(await pending).toEqual(DONE);
    expect(await subject.iterator.next()).toEqual(DONE);
    expect(subject.connected()).toBe(false);
    expect(listenersOf(signal)).toBe(0);
  });

  it('unsubscribes from signal and source when the loop breaks', async () => {
    const { signal } = new AbortController();
    const subject = create(signal);
    for (const n of upTo(3)) subject.push(n);
    const seen: number[] = [];
    for await (const value of subject.iterator) {
      seen.push(subject.read(value));
      if (seen.length === 2) break;
    }
    expect(seen).toEqual([1, 2]);
    expect(subject.connected()).toBe(false);
    expect(listenersOf(signal)).toBe(0);
  });

  it('passes on the error of the loop body and unsubscribes', async () => {
    const subject = create();
    subject.push(1);
    const error = new Error('body');
    const loop = async (): Promise<void> => {
      for await (const _ of subject.iterator) throw error;
    };
    expect(await rejectionOf(loop())).toBe(error);
    expect(subject.connected()).toBe(false);
  });

  it('supports a return() inside the resolution of a next()', async () => {
    const subject = create();
    const first = subject.iterator.next().then(async (result) => {
      await subject.iterator.return();
      return result;
    });
    const second = subject.iterator.next();
    subject.push(1);
    expect(await numbers(subject, [first, second])).toEqual([1, 'done']);
    expect(subject.connected()).toBe(false);
  });

  it('ends a hundred thousand pending next() calls without growing the stack', async () => {
    const subject = create();
    const results = nexts(subject, 100_000);
    await subject.iterator.return();
    const answers = await Promise.all(results);
    expect(answers.filter(({ done }) => done).length).toBe(100_000);
  });
});

describe.each(ITERATOR_CASES.filter(({ create }) => create().fail !== undefined))(
  'An error of the source of $name',
  ({ create }) => {
    const boom = new Error('boom');
    const failing = (): IteratorSubject & { fail(error: Error): void } =>
      create() as IteratorSubject & { fail(error: Error): void };

    it('rejects exactly one of many pending next() calls', async () => {
      const { iterator, fail } = failing();
      const results = upTo(3).map(() => iterator.next());
      fail(boom);
      const outcomes = await Promise.all(results.map(outcomeOf));
      expect(outcomes).toEqual([
        { state: 'rejected', reason: boom },
        { state: 'fulfilled', value: DONE },
        { state: 'fulfilled', value: DONE },
      ]);
      expect(await iterator.next()).toEqual(DONE);
    });

    it('is thrown once, after the values before it', async () => {
      const subject = failing();
      const results = [subject.iterator.next()];
      for (const n of upTo(3)) subject.push(n);
      subject.fail(boom);
      results.push(subject.iterator.next(), subject.iterator.next());
      expect((await Promise.all(results)).map(({ value }) => subject.read(value))).toEqual([1, 2, 3]);
      expect(await rejectionOf(subject.iterator.next())).toBe(boom);
      expect(await subject.iterator.next()).toEqual(DONE);
    });

    it('is not reported after return()', async () => {
      const subject = failing();
      const first = subject.iterator.next();
      subject.push(1);
      subject.push(2);
      subject.fail(boom);
      await first;
      expect(await subject.iterator.return()).toEqual(DONE);
      expect(await subject.iterator.next()).toEqual(DONE);
    });

    it('leaves no listener and no subscription behind', async () => {
      const { signal } = new AbortController();
      const subject = create(signal);
      const pending = rejectionOf(subject.iterator.next());
      subject.fail?.(boom);
      expect(subject.connected()).toBe(false);
      expect(await pending).toBe(boom);
      expect(listenersOf(signal)).toBe(0);
    });
  },
);
