import fc from 'fast-check';
import { Outbox, type Pending } from '../../src/core/outbox.js';
import { BackendUnavailableError, QueueClosedError } from '../../src/errors.js';
import { upTo } from '../support/consumers.js';
import { rejectionOf, stateOf, turns } from '../support/promises.js';
import { listenersOf } from '../support/signals.js';
import { Abort, fakeTime } from './fakes.js';

const TIMEOUT = 1000;

let lastError: unknown;
let admissions = 0;

function open(maxPending = 100): Outbox<number> {
  const onAdmitted = () => void admissions++;
  return new Outbox<number>({
    queueName: 'orders',
    engine: 'Broker',
    publishTimeout: TIMEOUT,
    maxPending,
    onAdmitted,
    lastError: () => lastError,
  });
}

const parcels = (pending: readonly Pending<number>[]) => pending.map(({ parcel }) => parcel);

beforeEach(() => {
  fakeTime();
  lastError = undefined;
  admissions = 0;
});

afterEach(() => jest.useRealTimers());

describe('Outbox', () => {
  it('returns messages in order, and resolves when they are confirmed', async () => {
    const outbox = open();
    const [one, two] = [outbox.add(1, undefined), outbox.add(2, undefined)];
    const [first] = outbox.take(1);
    expect([first?.parcel, first?.wasSent, parcels(outbox.waiting), outbox.isEmpty]).toEqual([1, true, [2], false]);
    first?.confirm();
    expect([await stateOf(one), await stateOf(two), first?.isOver]).toEqual(['fulfilled', 'pending', true]);
    outbox.take(1)[0]?.confirm();
    expect([await stateOf(two), outbox.isEmpty]).toEqual(['fulfilled', true]);
  });

  it('ignores a second confirm', async () => {
    const outbox = open();
    const answer = outbox.add(1, undefined);
    const [pending] = outbox.take(1);
    pending?.fail(new Error('first'));
    pending?.confirm();
    pending?.fail(new Error('third'));
    expect(await rejectionOf(answer)).toEqual(new Error('first'));
  });

  it('refuses a message whose signal is aborted', async () => {
    const outbox = open();
    expect(await rejectionOf(outbox.add(1, AbortSignal.abort('early')))).toBe('early');
    expect([outbox.isEmpty, jest.getTimerCount()]).toEqual([true, 0]);
  });

  it('aborts only unsent messages', async () => {
    const outbox = open();
    const { signal, abort } = new Abort();
    const answers = [outbox.add(1, signal), outbox.add(2, undefined), outbox.add(3, signal)];
    const [first] = outbox.take(1);
    abort('enough');
    expect(parcels(outbox.waiting)).toEqual([2]);
    outbox.putBack();
    expect(parcels(outbox.waiting)).toEqual([1, 2]);
    first?.confirm();
    expect(await Promise.all(answers.map(stateOf))).toEqual(['fulfilled', 'pending', 'rejected']);
    expect(await rejectionOf(answers[2] as Promise<void>)).toBe('enough');
  });

  it('names the last error when a confirm is late', async () => {
    const outbox = open();
    const answers = [outbox.add(1, undefined), outbox.add(2, undefined)];
    outbox.take(1);
    lastError = new Error('connect ECONNREFUSED');
    jest.advanceTimersByTime(TIMEOUT);
    const why = `Broker did not confirm a message for queue "orders" within ${TIMEOUT} ms (Error: connect ECONNREFUSED)`;
    const errors = await Promise.all(answers.map(rejectionOf));
    expect(errors).toEqual([
      new BackendUnavailableError(`${why}: it may have been enqueued`),
      new BackendUnavailableError(`${why}: it was not enqueued`),
    ]);
    expect(errors).toEqual(errors.map(() => expect.objectContaining({ cause: lastError, retryable: true })));
    expect(jest.getTimerCount()).toBe(0);
  });

  it('fails all messages, and reports the sent ones as ambiguous', async () => {
    const outbox = open();
    const answers = [1, 2, 3].map((parcel) => outbox.add(parcel, undefined));
    outbox.take(1);
    outbox.putBack();
    outbox.take(1);
    const reason = new BackendUnavailableError('wrong password', { cause: 'server', retryable: false });
    outbox.refuse(reason);
    const [sent, ...others] = await Promise.all(answers.map(rejectionOf));
    expect(sent).toEqual(new BackendUnavailableError('wrong password: it may have been enqueued'));
    expect(sent).toMatchObject({ cause: 'server', retryable: false });
    expect(others).toEqual([reason, reason]);
    expect(outbox.isEmpty).toBe(true);
  });

  it('reports when it is empty: immediately, or after the last confirm', async () => {
    const outbox = open();
    expect(await stateOf(outbox.emptied())).toBe('fulfilled');
    void outbox.add(1, undefined);
    const lost = outbox.add(2, undefined);
    const emptied = outbox.emptied();
    outbox.take(1)[0]?.confirm();
    expect(await stateOf(emptied)).toBe('pending');
    jest.advanceTimersByTime(TIMEOUT);
    expect([await stateOf(lost), await stateOf(emptied)]).toEqual(['rejected', 'fulfilled']);
  });

  it('refuses messages after `abandon`', async () => {
    const outbox = open();
    const [before] = [outbox.add(1, undefined), outbox.abandon()];
    const errors = [await rejectionOf(before), await rejectionOf(outbox.add(2, undefined))];
    const closed = new QueueClosedError('Queue "orders" was closed before a message was sent');
    expect([errors, outbox.isEmpty, jest.getTimerCount()]).toEqual([[closed, closed], true, 0]);
    expect(await rejectionOf(outbox.add(3, AbortSignal.abort('early')))).toBe('early');
  });
});

describe('A full Outbox', () => {
  it('admits waiting messages in order', async () => {
    const outbox = open(2);
    const answers = upTo(5).map((parcel) => outbox.add(parcel, undefined));
    expect([parcels(outbox.waiting), admissions]).toEqual([[1, 2], 0]);
    const [first, second] = outbox.take(2);
    expect(parcels(outbox.waiting)).toEqual([]);
    second?.confirm();
    expect([parcels(outbox.waiting), admissions]).toEqual([[3], 1]);
    outbox.putBack();
    expect(parcels(outbox.waiting)).toEqual([1, 3]);
    first?.fail(new Error('refused'));
    answers.push(outbox.add(6, undefined));
    expect([parcels(outbox.waiting), outbox.isEmpty]).toEqual([[3, 4], false]);
    for (const n of [3, 4, 5, 6]) {
      const [next] = outbox.take(1);
      expect(next?.parcel).toBe(n);
      next?.confirm();
    }
    const emptied = outbox.emptied();
    const states = await Promise.all(answers.map(stateOf));
    expect([states, await stateOf(emptied)]).toEqual([['rejected', ...Array(5).fill('fulfilled')], 'fulfilled']);
  });

  it('aborts a message that waits for admission, and keeps no listener', async () => {
    const outbox = open(1);
    const { signal, abort } = new Abort();
    const answers = [outbox.add(1, undefined), outbox.add(2, signal), outbox.add(3, undefined)];
    abort('enough');
    expect([await rejectionOf(answers[1] as Promise<void>), listenersOf(signal)]).toEqual(['enough', 0]);
    outbox.take(1)[0]?.confirm();
    expect(parcels(outbox.waiting)).toEqual([3]);
  });

  it('fails a message that waits for admission after `publishTimeout`', async () => {
    const outbox = open(1);
    const answers = [outbox.add(1, undefined)];
    jest.advanceTimersByTime(TIMEOUT / 2);
    answers.push(outbox.add(2, undefined), outbox.add(3, undefined));
    jest.advanceTimersByTime(TIMEOUT / 2);
    expect([parcels(outbox.waiting), await Promise.all(answers.map(stateOf))]).toEqual([
      [2],
      ['rejected', 'pending', 'pending'],
    ]);
    lastError = new Error('connect ECONNREFUSED');
    jest.advanceTimersByTime(TIMEOUT / 2);
    const [, unsent, unplaced] = await Promise.all(answers.map(rejectionOf));
    expect(unsent).toMatchObject({ message: expect.stringMatching(/did not confirm.*: it was not enqueued$/) });
    const why = `Queue "orders" had no room for a message within ${TIMEOUT} ms: \`maxPending\` of 1 messages were not confirmed`;
    expect(unplaced).toEqual(new BackendUnavailableError(`${why} (Error: connect ECONNREFUSED); it was not enqueued`));
    expect(unplaced).toMatchObject({ cause: lastError, retryable: true });
    expect([outbox.isEmpty, jest.getTimerCount()]).toEqual([true, 0]);
  });
});

describe('An Outbox that fails many messages at once', () => {
  /** 4,000 messages: sent, waiting to be sent, and waiting for admission. */
  function crowded() {
    const outbox = open(2000);
    const ended = { confirmed: 0, failed: 0 };
    for (const parcel of upTo(4000)) {
      outbox.add(parcel, undefined).then(
        () => ended.confirmed++,
        () => ended.failed++,
      );
    }
    return { outbox, sent: outbox.take(1500), ended };
  }

  it.each<[string, (outbox: Outbox<number>) => void]>([
    ['its timeout expires', () => jest.advanceTimersByTime(TIMEOUT)],
    ['they are refused', (outbox) => outbox.refuse(new BackendUnavailableError('no', { retryable: false }))],
    ['it is abandoned', (outbox) => outbox.abandon()],
  ])('does not block the event loop if %s', async (_, giveUp) => {
    const { outbox, ended } = crowded();
    giveUp(outbox);
    expect([outbox.isEmpty, parcels(outbox.waiting)]).toEqual([true, []]);
    const counts: number[] = [];
    while (ended.failed < 4000) {
      await Promise.resolve();
      counts.push(ended.failed);
      await turns(1);
    }
    const steps = counts.map((count, index) => count - (counts[index - 1] ?? 0));
    expect(Math.max(...steps)).toBeLessThanOrEqual(1000);
  });

  it('resolves a message whose confirm arrives before the rejection', async () => {
    const { sent, ended } = crowded();
    jest.advanceTimersByTime(TIMEOUT);
    for (const pending of sent) pending.confirm();
    while (ended.failed + ended.confirmed < 4000) await turns(1);
    expect(ended).toEqual({ confirmed: 500, failed: 3500 });
  });
});

type Step =
  | { readonly do: 'add'; readonly signal: number | undefined }
  | { readonly do: 'take' | 'confirm' | 'fail' | 'abort' | 'pass'; readonly n: number }
  | { readonly do: 'put back' };

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({ do: fc.constant('add' as const), signal: fc.option(fc.nat(3), { nil: undefined }) }),
  },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('take' as const), n: fc.nat(4) }) },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constantFrom('confirm' as const, 'confirm' as const, 'fail' as const),
      n: fc.nat(9),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('abort' as const), n: fc.nat(3) }) },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant('pass' as const), n: fc.constantFrom(1, 300, 500, TIMEOUT - 1, TIMEOUT) }),
  },
  { weight: 1, arbitrary: fc.constant({ do: 'put back' as const }) },
);

const MAX_PENDING = 6;

/** A message of the model. */
interface Known {
  readonly parcel: number;
  readonly due: number;
  readonly signal: number | undefined;
  sent: boolean;
}

/** The expected outcome of each message. */
class Model {
  waiting: Known[] = [];
  travelling: Known[] = [];
  line: Known[] = [];
  now = 0;
  readonly aborted = new Set<number>();
  readonly endings: string[] = [];

  add(signal: number | undefined): void {
    const parcel = this.endings.push('pending') - 1;
    const known = { parcel, due: this.now + TIMEOUT, signal, sent: false };
    if (signal !== undefined && this.aborted.has(signal)) this.endings[parcel] = `aborted ${signal}`;
    else this.line.push(known);
    this.admit();
  }

  admit(): void {
    this.waiting.push(...this.line.splice(0, Math.max(0, MAX_PENDING - this.waiting.length - this.travelling.length)));
  }

  take(count: number): Known[] {
    const taken = this.waiting.splice(0, count);
    for (const known of taken) known.sent = true;
    this.travelling.push(...taken);
    return taken;
  }

  putBack(): void {
    this.waiting.unshift(...this.travelling.splice(0));
  }

  end(which: (known: Known) => boolean, ending: (known: Known) => string): void {
    for (const known of [...this.travelling, ...this.waiting, ...this.line])
      if (which(known)) this.endings[known.parcel] = ending(known);
    this.travelling = this.travelling.filter((known) => !which(known));
    this.waiting = this.waiting.filter((known) => !which(known));
    this.line = this.line.filter((known) => !which(known));
    this.admit();
  }
}

/** Describes how a promise of `add` settled. */
function endingOf(error: unknown): string {
  if (BackendUnavailableError.is(error)) return `late: ${error.message.split(/[:;] /).at(-1)}`;
  if (QueueClosedError.is(error)) return `closed: ${error.message.split(' before a message ').at(-1)}`;
  return String(error);
}

describe('Outbox and a model', () => {
  it('keep the order and settle each message once with its outcome', async () => {
    const run = async (steps: readonly Step[]) => {
      const outbox = open(MAX_PENDING);
      const model = new Model();
      const signals = Array.from({ length: 4 }, () => new Abort());
      const endings: string[] = [];
      /** All taken messages, including settled ones. */
      const taken: Pending<number>[] = [];
      for (const step of steps) {
        if (step.do === 'add') {
          model.add(step.signal);
          const parcel = model.endings.length - 1;
          const signal = step.signal === undefined ? undefined : signals[step.signal]?.signal;
          outbox.add(parcel, signal).then(
            () => endings.push(`${parcel} confirmed`),
            (error: unknown) => endings.push(`${parcel} ${endingOf(error)}`),
          );
        } else if (step.do === 'take') {
          const now = outbox.take(step.n);
          taken.push(...now);
          expect(parcels(now)).toEqual(model.take(step.n).map(({ parcel }) => parcel));
        } else if (step.do === 'confirm' || step.do === 'fail') {
          const pending = taken[taken.length - 1 - step.n];
          if (pending === undefined) continue;
          step.do === 'confirm' ? pending.confirm() : pending.fail('refused');
          model.end(
            ({ parcel }) => parcel === pending.parcel,
            () => (step.do === 'confirm' ? 'confirmed' : 'refused'),
          );
        } else if (step.do === 'abort') {
          signals[step.n]?.abort(`aborted ${step.n}`);
          model.aborted.add(step.n);
          model.end(
            ({ sent, signal }) => !sent && signal === step.n,
            () => `aborted ${step.n}`,
          );
        } else if (step.do === 'pass') {
          jest.advanceTimersByTime(step.n);
          model.now += step.n;
          model.end(
            ({ due }) => due <= model.now,
            ({ sent }) => (sent ? 'late: it may have been enqueued' : 'late: it was not enqueued'),
          );
        } else {
          outbox.putBack();
          model.putBack();
        }
        expect(parcels(outbox.waiting)).toEqual(model.waiting.map(({ parcel }) => parcel));
        expect(outbox.isEmpty).toBe(model.waiting.length + model.travelling.length + model.line.length === 0);
        expect(jest.getTimerCount()).toBeLessThanOrEqual(1);
      }
      const emptied = outbox.emptied();
      outbox.abandon();
      model.end(
        () => true,
        ({ sent }) => (sent ? 'closed: was confirmed: it may have been enqueued' : 'closed: was sent'),
      );
      await Promise.all([emptied, turns(1)]);
      expect(endings.toSorted()).toEqual(model.endings.map((ending, parcel) => `${parcel} ${ending}`).toSorted());
      expect([outbox.isEmpty, jest.getTimerCount(), ...signals.map(({ signal }) => listenersOf(signal))]).toEqual([
        true,
        0,
        0,
        0,
        0,
        0,
      ]);
    };
    await fc.assert(fc.asyncProperty(fc.array(step, { maxLength: 40, size: 'max' }), run), { numRuns: 500 });
  });
});
