import fc from 'fast-check';
import { EngineErrors } from '../../src/core/engine-errors.js';
import { SettlementQueue } from '../../src/core/settlement-queue.js';
import { type Action, countedOf, settlementArguments } from '../../src/redis/exchange.js';
import { compareIds } from '../../src/redis/ids.js';
import { readMessage } from '../../src/redis/message.js';
import { isElsewhere, isReply, redisFailures } from '../../src/redis/redis-errors.js';

const { classify } = new EngineErrors(redisFailures('q'), { queue: 'q', server: 'somewhere' });

const id = fc
  .tuple(fc.integer({ min: 0, max: 3 }), fc.oneof(fc.nat(12), fc.maxSafeNat()))
  .map(([ms, seq]) => `${ms === 3 ? Number.MAX_SAFE_INTEGER : ms * 1_700_000_000_000}-${seq}`);

const action: fc.Arbitrary<Action> = fc.oneof(
  fc.constant<Action>({ kind: 'ack' }),
  fc.record({ kind: fc.constant('requeue' as const), deliveries: fc.nat(5), delay: fc.constantFrom(0, 0, 1000) }),
  fc.record({ kind: fc.constant('quarantine' as const), reason: fc.string() }),
);

describe('compareIds', () => {
  it('sorts ids in stream order', () => {
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
  const text = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.json(),
    fc.constantFrom('', '{}', '{"n":1}', '[]', 'null', '1', '{"__proto__":{"a":1}}'),
  );
  const name = fc.oneof(fc.constantFrom('key', 'payload', 'headers', 'publishedAt', 'id'), fc.string());

  it('returns a message or a reason for any fields and never throws', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(name, text)), fc.integer({ min: 1, max: 9 }), (pairs, attempt) => {
        const message = readMessage('1700000000000-0', attempt, pairs.flat());
        if (typeof message === 'string') {
          expect(message).not.toBe('');
          return;
        }
        expect(message).toMatchObject({ token: '1700000000000-0', attempt });
        expect(message.key.length).toBeGreaterThan(0);
        expect(Object.prototype.toString.call(message.payload)).toBe('[object Object]');
        expect(Number.isFinite(message.publishedAt)).toBe(true);
        expect(Object.values(message.headers).every((value) => typeof value === 'string')).toBe(true);
      }),
      { numRuns: 2000 },
    );
  });

  it('reads the fields that a publish writes', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: 'grapheme', minLength: 1, maxLength: 20 }),
        fc.dictionary(fc.string(), fc.jsonValue()),
        fc.dictionary(fc.string(), fc.string()),
        (key, payload, headers) => {
          const written = JSON.stringify(payload);
          const fields = [
            'key',
            key,
            'payload',
            written,
            'headers',
            JSON.stringify(headers),
            'publishedAt',
            '1700000000123',
          ];
          const message = readMessage('1800000000000-7', 3, fields);
          expect(message).toEqual({
            id: '1800000000000-7',
            token: '1800000000000-7',
            key,
            payload: JSON.parse(written),
            headers,
            attempt: 3,
            publishedAt: 1_700_000_000_123,
          });
        },
      ),
    );
  });

  it('takes the publish time from the id if there is no other', () => {
    expect(readMessage('1700000000001-5', 1, ['key', 'k', 'payload', '{}'])).toMatchObject({
      publishedAt: 1_700_000_000_001,
      headers: {},
    });
  });
});

describe('Settlements of an exchange', () => {
  const taken = (actions: readonly Action[]) => {
    const settlements = new SettlementQueue<Action>(compareIds);
    actions.forEach((action, number) => void settlements.add(`1-${number}`, action));
    return settlements.take(actions.length);
  };

  it('are passed to the script by action and matched with their replies', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(action, fc.boolean()), { maxLength: 12 }), (all) => {
        const settlements = taken(all.map(([action]) => action));
        const idsOf = (kind: Action['kind']) =>
          settlements.filter(({ action }) => action.kind === kind).map(({ id }) => id);
        const { acked, requeue, quarantine } = settlementArguments(settlements);
        expect(acked === '' ? [] : acked.split(',')).toEqual(idsOf('ack'));
        expect(requeue.map(([id]) => id)).toEqual(idsOf('requeue'));
        expect(quarantine.map(([id]) => id)).toEqual(idsOf('quarantine'));
        for (const { id, action } of settlements) {
          if (action.kind === 'requeue') expect(requeue.find((row) => row[0] === id)?.[1]).toBe(action.deliveries);
          if (action.kind === 'quarantine') expect(quarantine).toContainEqual([id, action.reason]);
        }
        const counts = new Map(settlements.map(({ id }, number) => [id, all[number]?.[1] === true]));
        const answer = [...idsOf('ack'), ...idsOf('requeue')].map((id) => (counts.get(id) ? '1' : '0')).join('');
        // The reply says nothing about quarantined messages.
        expect(settlements.map(countedOf(settlements, answer))).toEqual(
          settlements.map(({ id, action }) => action.kind === 'quarantine' || counts.get(id)),
        );
      }),
      { numRuns: 500 },
    );
  });

  it('contain the rest of a delay, or none if the delay is over', () => {
    const settlements = taken([
      { kind: 'requeue', deliveries: 2, delay: 10_000 },
      { kind: 'requeue', deliveries: 1, delay: 0 },
    ]);
    const now = performance.now();
    const { requeue } = settlementArguments(settlements);
    expect(requeue).toEqual([
      ['1-0', 2, expect.any(Number)],
      ['1-1', 1, 0],
    ]);
    expect(requeue[0]?.[2]).toBeGreaterThan(9000);
    expect(requeue[0]?.[2]).toBeLessThanOrEqual(10_000);
    const spy = jest.spyOn(performance, 'now').mockReturnValue(now + 20_000);
    expect(settlementArguments(settlements).requeue[0]?.[2]).toBe(0);
    spy.mockRestore();
  });
});

describe('Classification of Redis errors', () => {
  class ErrorReply extends Error {}
  class SimpleError extends ErrorReply {}

  /**
   * Before version 7, a script reports a refused command in two ways: with a returned error, and
   * with a raised error.
   */
  const returned = (reply: string) => `@user_script: 95: -${reply}`;
  const raised = (reply: string) =>
    `ERR Error running script (call to f_0123456789abcdef0123456789abcdef01234567): @user_script:34: @user_script: 34: -${reply} `;
  const readOnly = "READONLY You can't write against a read only replica.";
  const tooFewReplicas = 'NOREPLICAS Not enough good replicas to write.';
  const outOfMemory = "OOM command not allowed when used memory > 'maxmemory'.";

  it.each([
    'LOADING Redis is loading the dataset in memory',
    'BUSY Redis is busy running a script.',
    "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
    'CLUSTERDOWN The cluster is down',
    'TRYAGAIN Multiple keys request during rehashing of slot',
    'MOVED 15061 127.0.0.1:24104',
    'ASK 15061 127.0.0.1:24104',
    readOnly,
    returned(readOnly),
    raised(readOnly),
    tooFewReplicas,
    returned(tooFewReplicas),
    raised(tooFewReplicas),
    'MISCONF Redis is configured to save RDB snapshots',
    outOfMemory,
    returned(outOfMemory),
    raised(outOfMemory),
    'UNBLOCKED the stream key no longer exists',
    'ERR max number of clients reached',
  ])('classifies as refused: %s', (message) => {
    expect(classify(new SimpleError(message))).toBe('refused');
  });

  it.each([
    new SimpleError('NOPERM this user has no permissions'),
    new SimpleError('WRONGTYPE Operation against a key holding the wrong kind of value'),
    new SimpleError('ERR unknown command'),
    new SimpleError(returned('WRONGTYPE Operation against a key holding the wrong kind of value')),
    new SimpleError(raised('WRONGTYPE Operation against a key holding the wrong kind of value')),
    // A group name may look like an error.
    new SimpleError(`NOGROUP No such key 'q' or consumer group '${returned(outOfMemory)}'`),
    new SimpleError('BUSYGROUP Consumer Group name already exists'),
    Object.assign(new Error('self-signed certificate'), { code: 'DEPTH_ZERO_SELF_SIGNED_CERT' }),
    Object.assign(new Error('unable to verify the first certificate'), { code: 'UNABLE_TO_VERIFY_LEAF_SIGNATURE' }),
    Object.assign(new Error('certificate has expired'), { code: 'CERT_HAS_EXPIRED' }),
    Object.assign(new Error('wrong version number'), { code: 'ERR_SSL_WRONG_VERSION_NUMBER' }),
    new Error('Unknown RESP type 72 "H"'),
  ])('classifies as fatal: %p', (error) => {
    expect(classify(error)).toBe('fatal');
  });

  it.each([
    Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' }),
    new Error('Socket closed unexpectedly'),
    Object.assign(new Error('getaddrinfo ENOTFOUND nowhere'), { code: 'ENOTFOUND' }),
  ])('classifies as retryable: %p', (error) => {
    expect(classify(error)).toBe('retryable');
  });

  it.each([
    "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
    'MOVED 15061 127.0.0.1:24104',
    readOnly,
    returned(readOnly),
    raised(readOnly),
  ])('recognizes that another server has the queue: %s', (message) => {
    expect(isElsewhere(new SimpleError(message))).toBe(true);
  });

  it.each([outOfMemory, returned(outOfMemory), raised(tooFewReplicas)])(
    'recognizes that this server still has the queue: %s',
    (message) => {
      expect(isElsewhere(new SimpleError(message))).toBe(false);
    },
  );

  it('recognizes a reply by its class name and never throws', () => {
    expect([new SimpleError('x'), new ErrorReply('x')].map(isReply)).toEqual([true, true]);
    expect([new Error('x'), undefined, null, 'x', 5, Object.create(null)].map(isReply)).toEqual([
      false,
      false,
      false,
      false,
      false,
      false,
    ]);
  });
});
