import fc from 'fast-check';
import { readEnvelope, writePayload } from '../../src/core/envelope.js';
import { InvalidMessageError } from '../../src/errors.js';
import { writeMetadata } from '../../src/internal/metadata.js';
import { thrownBy } from '../support/promises.js';

describe('readEnvelope', () => {
  const json = fc.option(
    fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.json(),
      fc.constantFrom('', '{}', '{"n":1}', '[]', 'null', '{"__proto__":{"a":1}}'),
    ),
    {
      nil: undefined,
    },
  );
  const key = fc.oneof(fc.constant<unknown>('key'), fc.string({ unit: 'binary' }), fc.anything());

  it('returns a message or a reason for any input, and never throws', () => {
    fc.assert(
      fc.property(key, json, json, (key, payload, metadata) => {
        const content = readEnvelope({ key, payload, metadata });
        if (typeof content === 'string') {
          expect(content).toMatch(/^it/);
          return;
        }
        expect(content.key).toBe(key);
        expect(Object.prototype.toString.call(content.payload)).toBe('[object Object]');
        expect(Object.values(content.headers).every((value) => typeof value === 'string')).toBe(true);
      }),
      { numRuns: 2000 },
    );
  });

  it('reads written messages', () => {
    fc.assert(
      fc.property(
        fc.dictionary(fc.string(), fc.jsonValue()),
        fc.dictionary(fc.string({ minLength: 1 }), fc.string()),
        (object, headers) => {
          const payload = writePayload(object, 1_000_000, 'Broker');
          expect(readEnvelope({ key: 'ü', payload, metadata: writeMetadata({ headers }) })).toEqual({
            key: 'ü',
            payload: JSON.parse(payload),
            headers,
          });
        },
      ),
    );
  });

  it.each([
    [{ key: undefined, payload: '{}' }, 'its "key" is undefined'],
    [{ key: '', payload: '{}' }, 'its "key" is ""'],
    [{ payload: undefined }, 'it has no "payload"'],
    [{ payload: '[1]' }, 'its "payload" is not a JSON object but an array'],
    [{ payload: 'null' }, 'its "payload" is not a JSON object but null'],
    [{ payload: '"x"' }, 'its "payload" is not a JSON object but a string'],
    [{ payload: '4111' }, 'its "payload" is not a JSON object but a number'],
    [{ payload: 'true' }, 'its "payload" is not a JSON object but a boolean'],
    [{ payload: '{}', metadata: '7' }, 'its "headers" is not a JSON object but a number'],
    [{ payload: '{}', metadata: '{"a":"1","b":2}' }, 'its header "b" is not a string'],
  ])('returns for %p: %s', (envelope, reason) => {
    expect(readEnvelope({ key: 'key', metadata: undefined, ...envelope } as Parameters<typeof readEnvelope>[0])).toBe(
      reason,
    );
  });

  it.each(['{"n":', '', 'secret', '{"secret" 1}', '"secret', '"secret"', '["secret"]', '5ecret'])(
    'does not show the content of %p',
    (text) => {
      for (const [field, part] of [
        ['payload', 'payload'],
        ['metadata', 'headers'],
      ] as const) {
        const envelope = { key: 'key', payload: '{}', metadata: undefined, [field]: text };
        expect(readEnvelope(envelope)).toMatch(
          new RegExp(`^its "${part}" is (not JSON|not a JSON object but an? (string|array))$`),
        );
      }
    },
  );
});

describe('writePayload', () => {
  it('accepts exactly as many bytes as the engine', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 30 }), fc.integer({ min: -3, max: 3 }), (text, more) => {
        const json = JSON.stringify({ text });
        const most = Buffer.byteLength(json) + more;
        if (more >= 0) expect(writePayload({ text }, most, 'Broker')).toBe(json);
        else expect(thrownBy(() => writePayload({ text }, most, 'Broker'))).toBeInstanceOf(InvalidMessageError);
      }),
    );
  });

  it('names the actual size in the error', () => {
    const error = thrownBy(() => writePayload({ text: 'é' }, 12, 'Broker'));
    expect(error).toEqual(
      new InvalidMessageError('payload', 'at most 12 bytes of JSON, the limit of Broker', '13 bytes'),
    );
  });

  it('reports JSON that exceeds the longest string', () => {
    const tooLong = new RangeError('Invalid string length');
    const toJSON = () => {
      throw tooLong;
    };
    const error = thrownBy(() => writePayload({ toJSON }, 12, 'Broker'));
    expect(error).toMatchObject({ path: 'payload', received: 'more than a string can hold', cause: tooLong });
  });
});

describe('writeMetadata', () => {
  it('writes nothing for empty headers', () => {
    expect([writeMetadata({ headers: {} }), writeMetadata({ headers: { a: 'b' } })]).toEqual([undefined, '{"a":"b"}']);
  });
});
