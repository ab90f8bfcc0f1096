import { headers as createHeaders, type Msg } from '@nats-io/transport-node';
import fc from 'fast-check';
import { nak } from '../../src/nats/answers.js';
import {
  copyId,
  HEADERS_HEADER,
  ID_HEADER,
  PUBLISHED_AT_HEADER,
  readFacts,
  readMessage,
  writeHeadersHeader,
} from '../../src/nats/message.js';
import { queueNames, readKey } from '../../src/nats/names.js';
import { NATS_URL, parseUrl } from '../../src/nats/url.js';

const name = fc.oneof(
  fc.string({
    unit: fc.constantFrom('.', '*', '>', '%', '=', '~', '_', ' ', 'a', '2', 'E'),
    minLength: 1,
    maxLength: 12,
  }),
  fc.string({ unit: 'binary', minLength: 1, maxLength: 20 }),
  fc.string({ unit: 'grapheme', minLength: 60, maxLength: 80 }),
);

/** Whether a subject is valid for a publish: no token is empty, and there are no wildcards. */
const SUBJECT = /^[!-)+\-/-=?-~]+(\.[!-)+\-/-=?-~]+)*$/;

const message = (facts: { subject: string; data: string; headers?: Record<string, string> }): Msg => {
  const headers = createHeaders();
  for (const [key, value] of Object.entries(facts.headers ?? {})) headers.set(key, value);
  return {
    subject: facts.subject,
    headers: facts.headers && headers,
    string: () => facts.data,
    data: Buffer.from(facts.data),
  } as unknown as Msg;
};

describe('queueNames', () => {
  it('returns valid names that differ for each queue', () => {
    fc.assert(
      fc.property(name, name, (one, other) => {
        fc.pre(one !== other);
        const all = [one, other]
          .map(queueNames)
          .map(({ stream, delayedStream, quarantine }) => [stream, delayedStream, quarantine]);
        expect(new Set(all.flat()).size).toBe(6);
        for (const each of all.flat()) {
          expect(each).toMatch(/^[\w=~-]+$/);
          expect(each.length).toBeLessThanOrEqual(200);
        }
      }),
      { numRuns: 2000 },
    );
  });

  it('returns a consumer per group', () => {
    const { consumer } = queueNames('q');
    fc.assert(
      fc.property(name, name, (one, other) => {
        fc.pre(one !== other);
        expect(consumer(one)).not.toBe(consumer(other));
        expect(consumer(one)).toMatch(/^[\w=~-]{1,200}$/);
      }),
      { numRuns: 2000 },
    );
  });

  it('returns valid subjects that contain the key', () => {
    fc.assert(
      fc.property(name, name, fc.nat(1e9), (queue, key, delay) => {
        const { stream, subject, delayedStream, delayedSubject, quarantineSubject } = queueNames(queue);
        const plain = subject(key);
        expect(plain).toMatch(SUBJECT);
        expect(readKey(plain, stream.length + 1)).toBe(key);
        const later = delayedSubject(key, delay);
        expect(later).toMatch(SUBJECT);
        expect(later.startsWith(`${delayedStream}.`)).toBe(true);
        expect(readKey(later, later.indexOf(`.${delay}.`) + String(delay).length + 2)).toBe(key);
        expect(quarantineSubject(plain)).toMatch(SUBJECT);
      }),
      { numRuns: 2000 },
    );
  });

  it('does not change a name or key that is valid in a subject', () => {
    expect(queueNames('orders-2').stream).toBe('orders-2');
    expect(queueNames('orders').subject('order.placed')).toBe('orders.order.placed');
  });
});

describe('parseUrl', () => {
  const secret = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 20 });
  const host = fc.constantFrom('localhost', 'nats.example.org', '10.0.0.1', '[::1]');

  it('parses any user and password', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(host, fc.integer({ min: 1, max: 65_535 })), { minLength: 1, maxLength: 4 }),
        secret,
        secret,
        (hosts, user, pass) => {
          const login = `${encodeURIComponent(user)}:${encodeURIComponent(pass)}@`;
          const url = hosts.map(([each, port], index) => `nats://${index === 0 ? login : ''}${each}:${port}`).join(',');
          const servers = hosts.map(([each, port]) => `${each}:${port}`);
          expect(parseUrl(url)).toEqual({ servers, tls: false, user, pass });
          expect(NATS_URL.whereOf(url)).toBe(servers.join(', '));
        },
      ),
    );
  });

  it('parses a token and TLS, and adds the default port', () => {
    expect(parseUrl('tls://t%40ken@one,nats://two')).toEqual({
      servers: ['one:4222', 'two:4222'],
      tls: true,
      token: 't@ken',
    });
    expect(parseUrl('nats://queue:secret@one,two:4333, three')).toEqual({
      servers: ['one:4222', 'two:4333', 'three:4222'],
      tls: false,
      user: 'queue',
      pass: 'secret',
    });
    expect(parseUrl('one,nats://two')).toBeUndefined();
    expect(parseUrl('nats://one')).toEqual({ servers: ['one:4222'], tls: false });
  });

  it('never throws', () => {
    const piece = fc.constantFrom(
      'nats://',
      'tls://',
      'http://',
      'u',
      ':',
      '@',
      '%',
      '%41',
      'host',
      ',',
      '/',
      '?',
      '#',
      '[',
      ']',
      ' ',
      '4222',
    );
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.array(piece).map((pieces) => pieces.join('')),
        ),
        (text) => {
          const where = NATS_URL.whereOf(text);
          expect(where === undefined).toBe(parseUrl(text) === undefined);
        },
      ),
      { numRuns: 2000 },
    );
  });
});

describe('copyId', () => {
  it('is the same for all deliveries of a message to a group', () => {
    const id = 'orders.default.42.1700000000123456789';
    expect(copyId('$JS.ACK.orders.default.3.42.7.1700000000123456789.5')).toBe(id);
    expect(copyId('$JS.ACK.orders.default.4.42.8.1700000000123456789.1')).toBe(id);
    expect(copyId('$JS.ACK.hub.ACCHASH.orders.default.3.42.7.1700000000123456789.5')).toBe(id);
    expect(copyId('$JS.ACK._.ACCHASH.orders.default.3.42.7.1700000000123456789.5.token')).toBe(id);
  });
});

describe('readFacts', () => {
  const facts = { deliveries: 3, sequence: 42, storedAt: 1_700_000_000_123, pending: 5 };

  it('reads both forms of a reply', () => {
    expect(readFacts('$JS.ACK.orders.default.3.42.7.1700000000123456789.5')).toEqual(facts);
    expect(readFacts('$JS.ACK.hub.ACCHASH.orders.default.3.42.7.1700000000123456789.5')).toEqual(facts);
    expect(readFacts('$JS.ACK._.ACCHASH.orders.default.3.42.7.1700000000123456789.5.token')).toEqual(facts);
  });

  it('returns undefined for any other subject', () => {
    for (const reply of ['', '_INBOX.x', '$JS.ACK', '$JS.API.ACK.a.b.c.d.e.f.g', '$JS.FC.a.b.c.d.e.f'])
      expect(readFacts(reply)).toBeUndefined();
  });
});

describe('readMessage', () => {
  const facts = { deliveries: 2, sequence: 9, storedAt: 1_700_000_000_123, pending: 0 };
  const line = fc.string({ unit: 'grapheme-ascii' });

  it('returns a message or a reason for any input, and never throws', () => {
    const data = fc.oneof(fc.string(), fc.json(), fc.constantFrom('', '{}', '[]', 'null', '{"__proto__":{"a":1}}'));
    fc.assert(
      fc.property(line, data, line, line, line, (subject, data, id, headers, publishedAt) => {
        const read = readMessage(
          message({
            subject: `q.${subject}`,
            data,
            headers: { [ID_HEADER]: id, [HEADERS_HEADER]: headers, [PUBLISHED_AT_HEADER]: publishedAt },
          }),
          facts,
          2,
        );
        if (typeof read === 'string') {
          expect(read).not.toBe('');
          return;
        }
        expect(read.attempt).toBe(2);
        expect(read.id).not.toBe('');
        expect(Object.prototype.toString.call(read.payload)).toBe('[object Object]');
        expect(Number.isSafeInteger(read.publishedAt)).toBe(true);
        expect(Object.values(read.headers).every((value) => typeof value === 'string')).toBe(true);
      }),
      { numRuns: 2000 },
    );
  });

  it('reads the message of a publish', () => {
    const key = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 20 });
    fc.assert(
      fc.property(
        key,
        fc.dictionary(fc.string(), fc.jsonValue()),
        fc.dictionary(fc.string({ unit: 'grapheme' }), fc.string({ unit: 'grapheme' })),
        (key, payload, headers) => {
          const written = writeHeadersHeader({ headers });
          // Nothing that a header cannot contain, or that the client would trim.
          if (written !== undefined) expect(written).toMatch(/^\{[\u0020-\u007e]*\}$/);
          const data = JSON.stringify(payload);
          const sent = message({
            subject: queueNames('q').subject(key),
            data,
            headers: written === undefined ? {} : { [HEADERS_HEADER]: written },
          });
          expect(readMessage(sent, facts, 2)).toEqual({
            id: '9',
            token: '9',
            key,
            payload: JSON.parse(data),
            headers: JSON.parse(JSON.stringify(headers)),
            attempt: 2,
            publishedAt: facts.storedAt,
          });
        },
      ),
    );
  });
});

describe('nak', () => {
  it('returns a valid answer for any delay', () => {
    fc.assert(
      fc.property(
        fc.oneof(fc.double({ min: 0, max: Number.MAX_SAFE_INTEGER, noNaN: true }), fc.maxSafeNat()),
        (delay) => {
          const answer = nak(delay);
          if (answer === '-NAK') return expect(delay).toBe(0);
          // Digits only, no more than an integer of 64 bits.
          const [, digits = ''] = /^-NAK \{"delay":(\d+)\}$/.exec(answer) ?? [];
          expect(digits).not.toBe('');
          expect(BigInt(digits) <= 2n ** 63n - 1n).toBe(true);
        },
      ),
      { numRuns: 2000 },
    );
  });
});
