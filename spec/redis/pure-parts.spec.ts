import fc from 'fast-check';
import { Failures } from '../../src/broker/failures.js';
import { Settlements } from '../../src/broker/settlements.js';
import { isReply, redisFailures } from '../../src/redis/failures.js';
import { compareIds } from '../../src/redis/ids.js';
import { readMessage } from '../../src/redis/message.js';
import { countedOf, type Settlement, settlementArguments, type Verdict } from '../../src/redis/settlements.js';
import { turns } from '../support/promises.js';

const { outlookOf } = new Failures(redisFailures('q'), { queue: 'q', server: 'somewhere' });

const id = fc
  .tuple(fc.integer({ min: 0, max: 3 }), fc.oneof(fc.nat(12), fc.maxSafeNat()))
  .map(([ms, seq]) => `${ms === 3 ? Number.MAX_SAFE_INTEGER : ms * 1_700_000_000_000}-${seq}`);

const verdict: fc.Arbitrary<Verdict> = fc.oneof(
  fc.constant<Verdict>({ kind: 'ack' }),
  fc.record({ kind: fc.constant('back' as const), deliveries: fc.nat(5), delay: fc.constantFrom(0, 0, 1000) }),
  fc.record({ kind: fc.constant('aside' as const), reason: fc.string() }),
);

describe('compareIds', () => {
  it('puts ids in the order of the stream', () => {
    const numbers = (text: string) => text.split('-').map(BigInt) as [bigint, bigint];
    fc.assert(
      fc.property(id, id, (one, other) => {
        const [[a, b], [c, d]] = [numbers(one), numbers(other)];
        const expected = a === c ? (b < d ? -1 : b > d ? 1 : 0) : a < c ? -1 : 1;
        expect(Math.sign(compareIds(one, other))).toBe(expected);
      }),
      { numRuns: 2000 },
    );
  });
});

describe('readMessage', () => {
  const text = fc.oneof(fc.string({ unit: 'binary' }), fc.json(), fc.constantFrom('', '{}', '{"n":1}', '[]', 'null', '1', '{"__proto__":{"a":1}}'));
  const name = fc.oneof(fc.constantFrom('key', 'payload', 'headers', 'publishedAt'), fc.string());

  it('makes a message or a reason of whatever there is, and never throws', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(name, text)), fc.integer({ min: 1, max: 9 }), (pairs, attempt) => {
        const message = readMessage('1700000000000-0', attempt, pairs.flat());
        if (typeof message === 'string') {
          expect(message).not.toBe('');
          return;
        }
        expect(message).toMatchObject({ id: '1700000000000-0', attempt });
        expect(message.key.length).toBeGreaterThan(0);
        expect(Object.prototype.toString.call(message.payload)).toBe('[object Object]');
        expect(Number.isFinite(message.publishedAt)).toBe(true);
        expect(Object.values(message.headers).every((value) => typeof value === 'string')).toBe(true);
      }),
      { numRuns: 2000 },
    );
  });

  it('reads what a publish wrote', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: 'grapheme', minLength: 1, maxLength: 20 }),
        fc.dictionary(fc.string(), fc.jsonValue()),
        fc.dictionary(fc.string(), fc.string()),
        (key, payload, headers) => {
          const written = JSON.stringify(payload);
          const fields = ['key', key, 'payload', written, 'headers', JSON.stringify(headers), 'publishedAt', '1700000000123'];
          const message = readMessage('1800000000000-7', 3, fields);
          expect(message).toEqual({ id: '1800000000000-7', key, payload: JSON.parse(written), headers, attempt: 3, publishedAt: 1_700_000_000_123 });
        },
      ),
    );
  });

  it('takes the time of its id for that of its publication, unless there is another', () => {
    expect(readMessage('1700000000001-5', 1, ['key', 'k', 'payload', '{}'])).toMatchObject({ publishedAt: 1_700_000_000_001, headers: {} });
  });
});

describe('Settlements', () => {
  const step = fc.oneof(
    { weight: 5, arbitrary: fc.record({ do: fc.constant('add' as const), id, verdict }) },
    {
      weight: 3,
      arbitrary: fc.record({
        do: fc.constant('send' as const),
        end: fc.constantFrom('answered', 'answered', 'lost', 'refused'),
      }),
    },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('give up' as const) }) },
  );

  it('are sent in the order in which they were added, each until it is answered, and are given their own answers', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 40, size: 'max' }), fc.integer({ min: 1, max: 5 }), async (steps, most) => {
        const settlements = new Settlements<Verdict>(compareIds);
        const answers: (boolean | undefined)[] = [];
        const expected: (boolean | undefined)[] = [];
        /** The numbers of those that wait, in the order in which they have to be sent, and whether they were sent. */
        let waiting: { number: number; again: boolean }[] = [];
        const add = (id: string, verdict: Verdict) => {
          const number = expected.push(undefined) - 1;
          waiting.push({ number, again: false });
          void settlements.add(`${id.split('-')[0]}-${number}`, verdict).then((counted) => {
            answers[number] = counted;
          });
        };
        const numberOf = ({ id }: Settlement) => Number(id.split('-')[1]);
        for (const each of steps) {
          if (each.do === 'add') {
            add(each.id, each.verdict);
          } else if (each.do === 'give up') {
            settlements.giveUp(({ resolve }) => resolve(false));
            for (const { number } of waiting) expected[number] = false;
            waiting = [];
          } else {
            const first = waiting[0]?.again;
            const change = waiting.findIndex(({ again }) => again !== first);
            const sent = waiting.slice(0, Math.min(most, change < 0 ? waiting.length : change));
            const taken = settlements.take(most);
            expect(taken.map(numberOf).toSorted((a, b) => a - b)).toEqual(sent.map(({ number }) => number).toSorted((a, b) => a - b));
            expect(taken.every(({ again }) => again === first)).toBe(true);
            expect(settlements.size).toBe(waiting.length - sent.length);
            expect(settlements.ids).toHaveLength(waiting.length);
            if (each.end === 'answered') {
              const { acked, back, aside } = settlementArguments(taken);
              const ids = acked === '' ? [] : acked.split(',');
              for (let at = 0; at < back.length; at += 3) ids.push(back[at] as string);
              for (let at = 0; at < aside.length; at += 2) expected[Number(aside[at]?.split('-')[1])] = true;
              const counted = ids.map((id) => Number(id.split('-')[1]) % 3 === 0);
              ids.forEach((id, index) => {
                expected[Number(id.split('-')[1])] = counted[index];
              });
              settlements.answered(countedOf(taken, counted.map((counts) => (counts ? '1' : '0')).join('')));
              waiting = waiting.slice(sent.length);
            } else {
              settlements.putBack({ again: each.end === 'lost' });
              if (each.end === 'lost') for (const one of sent) one.again = true;
              expect(settlements.size).toBe(waiting.length);
            }
          }
        }
        await turns(1);
        expect(Array.from(expected, (_, number) => answers[number])).toEqual(expected);
      }),
      { numRuns: 500 },
    );
  });

  it('say when what there is now is answered, whatever is added later', async () => {
    const settlements = new Settlements<Verdict>(compareIds);
    let over = 0;
    void settlements.answeredNow().then(() => over++);
    await turns(1);
    expect(over).toBe(1);
    void settlements.add('1-1', { kind: 'ack' });
    void settlements.answeredNow().then(() => over++);
    settlements.take(10);
    void settlements.add('1-2', { kind: 'ack' });
    await turns(1);
    expect(over).toBe(1);
    settlements.answered(() => true);
    await turns(1);
    expect(over).toBe(2);
  });

  it('send the rest of a delay, and none where it is over', () => {
    const settlements = new Settlements<Verdict>(compareIds);
    void settlements.add('1-1', { kind: 'back', deliveries: 2, delay: 10_000 });
    void settlements.add('1-2', { kind: 'back', deliveries: 1, delay: 0 });
    const taken = settlements.take(10);
    const now = performance.now();
    const { back } = settlementArguments(taken);
    expect(back.slice(0, 2)).toEqual(['1-1', '2']);
    expect(Number(back[2])).toBeGreaterThan(9000);
    expect(Number(back[2])).toBeLessThanOrEqual(10_000);
    expect(back.slice(3)).toEqual(['1-2', '1', '0']);
    const spy = jest.spyOn(performance, 'now').mockReturnValue(now + 20_000);
    expect(settlementArguments(taken).back[2]).toBe('0');
    spy.mockRestore();
  });
});

describe('The outlook of a failure', () => {
  class ErrorReply extends Error {}
  class SimpleError extends ErrorReply {}

  it.each([
    'LOADING Redis is loading the dataset in memory',
    'BUSY Redis is busy running a script.',
    "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
    'CLUSTERDOWN The cluster is down',
    'TRYAGAIN Multiple keys request during rehashing of slot',
    "READONLY You can't write against a read only replica.",
    'NOREPLICAS Not enough good replicas to write.',
    'MISCONF Redis is configured to save RDB snapshots',
    "OOM command not allowed when used memory > 'maxmemory'.",
    'UNBLOCKED the stream key no longer exists',
    'ERR max number of clients reached',
  ])('is that the server refuses for now: %s', (message) => {
    expect(outlookOf(new SimpleError(message))).toBe('refused');
  });

  it.each([
    new SimpleError('NOPERM this user has no permissions'),
    new SimpleError('WRONGTYPE Operation against a key holding the wrong kind of value'),
    new SimpleError('ERR unknown command'),
    new SimpleError('BUSYGROUP Consumer Group name already exists'),
    Object.assign(new Error('self-signed certificate'), { code: 'DEPTH_ZERO_SELF_SIGNED_CERT' }),
    Object.assign(new Error('unable to verify the first certificate'), { code: 'UNABLE_TO_VERIFY_LEAF_SIGNATURE' }),
    Object.assign(new Error('certificate has expired'), { code: 'CERT_HAS_EXPIRED' }),
    Object.assign(new Error('wrong version number'), { code: 'ERR_SSL_WRONG_VERSION_NUMBER' }),
    new Error('Unknown RESP type 72 "H"'),
  ])('is that it fails until somebody changes something: %p', (error) => {
    expect(outlookOf(error)).toBe('hopeless');
  });

  it.each([
    Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' }),
    new Error('Socket closed unexpectedly'),
    Object.assign(new Error('getaddrinfo ENOTFOUND nowhere'), { code: 'ENOTFOUND' }),
  ])('is that the next connection may do: %p', (error) => {
    expect(outlookOf(error)).toBe('lost');
  });

  it('is told by what the class of an answer is called, and never throws', () => {
    expect([new SimpleError('x'), new ErrorReply('x')].map(isReply)).toEqual([true, true]);
    expect([new Error('x'), undefined, null, 'x', 5, Object.create(null)].map(isReply)).toEqual([false, false, false, false, false, false]);
  });
});
