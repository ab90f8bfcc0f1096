import fc from 'fast-check';
import manifest from '../../package.json';
import { EngineErrors } from '../../src/core/engine-errors.js';
import type { Channel, Incoming } from '../../src/rabbitmq/client.js';
import { Delays, LONGEST_DELAY, levelsFor } from '../../src/rabbitmq/delays.js';
import type { RabbitLink } from '../../src/rabbitmq/link.js';
import {
  bodyOf,
  comparePlaces,
  copyOf,
  envelopeOf,
  quarantineProperties,
  type Received,
  readMessage,
} from '../../src/rabbitmq/message.js';
import { queueNames } from '../../src/rabbitmq/names.js';
import { isConsumerTimeout, rabbitMqFailures } from '../../src/rabbitmq/rabbitmq-errors.js';
import { clientOptions, RABBITMQ_URL, serverIdOf } from '../../src/rabbitmq/url.js';

/** A broker that stores only exchanges, queues and their bindings. */
function fakeBroker() {
  const bindings = new Map<string, { pattern: string; to: string; isQueue: boolean }[]>();
  const queues = new Map<string, Readonly<Record<string, string | number>>>();
  const bind = (from: string, pattern: string, to: string, isQueue: boolean) => {
    bindings.set(from, [...(bindings.get(from) ?? []), { pattern, to, isQueue }]);
  };
  const channel = {
    close: async () => undefined,
    exchangeDeclare: async () => undefined,
    queueDeclare: async ({ queue, arguments: settings = {} }: Parameters<Channel['queueDeclare']>[0]) =>
      void queues.set(queue, settings),
    queueBind: async ({ exchange, queue, routingKey = '' }: Parameters<Channel['queueBind']>[0]) =>
      bind(exchange, routingKey, queue, true),
    exchangeBind: async ({ source, destination, routingKey }: Parameters<Channel['exchangeBind']>[0]) =>
      bind(source, routingKey, destination, false),
  } as unknown as Channel;

  /** Routes a message. Returns its total delay and its destination. */
  const follow = (exchange: string, key: string): { kept: number; end: string } => {
    let kept = 0;
    for (let at = exchange; ; ) {
      const next = (bindings.get(at) ?? []).filter(({ pattern }) => matches(pattern, key));
      if (bindings.get(at) === undefined) return { kept, end: at };
      expect(next).toHaveLength(1);
      const [{ to, isQueue }] = next as [(typeof next)[number]];
      if (!isQueue) {
        at = to;
        continue;
      }
      const settings = queues.get(to);
      if (settings === undefined) return { kept, end: to };
      kept += Number(settings['x-message-ttl']);
      at = String(settings['x-dead-letter-exchange']);
    }
  };
  const link = { openChannel: async () => channel } as unknown as RabbitLink;
  return { link, follow, queues };
}

/** Matches like a topic exchange. */
function matches(pattern: string, key: string): boolean {
  const match = ([first, ...patterns]: readonly string[], words: readonly string[]): boolean => {
    if (first === undefined) return words.length === 0;
    if (first === '#')
      return match(patterns, words) || (words.length > 0 && match([first, ...patterns], words.slice(1)));
    return words.length > 0 && (first === '*' || first === words[0]) && match(patterns, words.slice(1));
  };
  return match(pattern.split('.'), key.split('.'));
}

describe('the peer range of rabbitmq-client', () => {
  it('admits only patch versions, since Sluice uses private parts of the client', () => {
    expect(manifest.peerDependencies['rabbitmq-client']).toMatch(/^~\d+\.\d+\.\d+$/);
  });
});

describe('Delays', () => {
  it.each(['orders', 'orders:group:a:again'])(
    'lead to %p after at least the delay and less than a step more',
    async (destination) => {
      const { link, follow } = fakeBroker();
      const delays = new Delays('d', destination);
      const delay = fc.oneof(
        fc.constantFrom(1, 15, 16, 17, LONGEST_DELAY),
        fc.integer({ min: 1, max: LONGEST_DELAY }),
        fc.double({ min: 0.001, max: 1e5, noNaN: true }),
      );
      await fc.assert(
        fc.asyncProperty(delay, async (asked) => {
          await delays.declareFor(link, asked);
          expect(delays.isReadyFor(asked)).toBe(true);
          const { exchange, routingKey } = delays.detour(asked);
          expect(routingKey.length).toBeLessThanOrEqual(255);
          const { kept, end } = follow(exchange, routingKey);
          expect(end).toBe(destination);
          expect(kept).toBeGreaterThanOrEqual(asked);
          expect(kept - asked).toBeLessThan(16);
        }),
      );
    },
  );

  it('need as many queues as the delay has bits', async () => {
    const { link, queues } = fakeBroker();
    const delays = new Delays('d', 'q');
    for (const [delay, levels] of [
      [0, 0],
      [1, 1],
      [16, 1],
      [17, 2],
      [1000, 6],
      [3_600_000, 18],
      [LONGEST_DELAY, 28],
    ] as const) {
      expect(levelsFor(delay)).toBe(levels);
      await delays.declareFor(link, delay);
      expect(queues.size).toBe(levels);
    }
    for (const settings of queues.values()) expect(Number(settings['x-message-ttl'])).toBeLessThan(2 ** 32);
    delays.forget();
    expect(delays.isReadyFor(1)).toBe(false);
    expect(delays.isReadyFor(0)).toBe(true);
  });
});

describe('Names on the broker', () => {
  const name = fc.oneof(
    fc.string({ unit: 'grapheme', minLength: 1, maxLength: 260 }),
    fc.string({ unit: fc.constantFrom('a', ':', '.', '=', '~'), minLength: 1 }),
  );
  const allOf = (queue: string, group: string) => {
    const names = queueNames(queue);
    return [
      names.exchange,
      names.quarantine,
      `${names.delay}:27`,
      ...Object.values(names.group(group)).map((one, at) => (at >= 2 ? `${one}:27` : one)),
    ];
  };

  it('are plain, short enough, prefixed with the queue name, and distinct', () => {
    fc.assert(
      fc.property(name, name, name, name, (queue, group, otherQueue, otherGroup) => {
        const names = allOf(queue, group);
        for (const one of names) {
          expect(one).toMatch(/^[A-Za-z0-9_=~:-]+$/);
          expect(one.length).toBeLessThanOrEqual(255);
          expect(one.startsWith(queueNames(queue).exchange)).toBe(true);
        }
        expect(new Set(names).size).toBe(names.length);
        if (queue !== otherQueue) for (const one of allOf(otherQueue, otherGroup)) expect(names).not.toContain(one);
        if (group !== otherGroup) for (const one of allOf(queue, otherGroup).slice(3)) expect(names).not.toContain(one);
      }),
      { numRuns: 300 },
    );
  });
});

describe('readMessage', () => {
  const text = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.json(),
    fc.constantFrom('', '{}', '{"n":1}', '[]', 'null', '{"__proto__":{"a":1}}'),
  );
  const value = fc.oneof(text, fc.anything(), fc.constantFrom(0, -1, 1.5, 1_700_000_000_000, 2 ** 60));
  const header = fc.constantFrom(
    'sluice-headers',
    'sluice-published-at',
    'sluice-attempts',
    'sluice-delay',
    'x-delivery-count',
    'other',
  );
  const body = fc.oneof(
    text.map((each) => Buffer.from(each)),
    fc.uint8Array().map((each) => Buffer.from(each)),
    text,
    fc.jsonValue(),
  );

  it('returns a message or a reason for any input and never throws', () => {
    const incoming = fc.record(
      { messageId: value, type: value, contentType: text, headers: fc.dictionary(header, value), body },
      { requiredKeys: ['body'] },
    );
    fc.assert(
      fc.property(incoming, (some) => {
        const original = { ...some, deliveryTag: 1 } as unknown as Incoming;
        const received = readMessage(original);
        expect(Buffer.isBuffer(bodyOf(original))).toBe(true);
        if (typeof received === 'string') {
          expect(received).not.toBe('');
          expect(quarantineProperties(original, received).headers).toMatchObject({ 'sluice-reason': received });
          return;
        }
        const { message } = received;
        expect(Object.prototype.toString.call(message.payload)).toBe('[object Object]');
        expect(Number.isSafeInteger(message.attempt) && message.attempt > 0).toBe(true);
        expect(Object.values(message.headers).every((each) => typeof each === 'string')).toBe(true);
      }),
      { numRuns: 500 },
    );
  });

  it('reads messages that a publish wrote, and their copies', () => {
    const key = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 20 });
    fc.assert(
      fc.property(
        key,
        fc.dictionary(fc.string(), fc.jsonValue()),
        fc.dictionary(fc.string(), fc.string()),
        fc.nat(1e6),
        fc.nat(9),
        fc.constantFrom('0123456789abcdef-7', 'order 42', 'ffffffffffffffff-1'),
        (...parts) => {
          const [one, payload, headers, delay, before, id] = parts;
          const uniqueId = '0123456789abcdef-7';
          const sent = {
            id,
            uniqueId,
            key: one,
            body: Buffer.from(JSON.stringify(payload)),
            metadata: JSON.stringify(headers),
            publishedAt: 1_700_000_000_123,
            delay,
          };
          const deliver = (outgoing: Parameters<typeof envelopeOf>[0], count: number) => {
            const { headers: table, ...properties } = envelopeOf(outgoing, '', '');
            return readMessage({
              ...properties,
              headers: { ...table, 'x-delivery-count': count },
              body: outgoing.body,
              deliveryTag: 1,
            }) as Received;
          };
          const first = deliver({ ...sent, attempts: 0 }, before);
          const message = {
            id,
            key: one,
            payload: JSON.parse(JSON.stringify(payload)),
            headers,
            publishedAt: 1_700_000_000_123,
          };
          expect(first.message).toEqual({ ...message, attempt: before + 1 });
          const again = deliver(copyOf(first), 2);
          expect(again.message).toEqual({ ...message, attempt: before + 4 });
          expect([first, again].map(({ place }) => place)).toEqual(
            Array(2).fill({ time: message.publishedAt + delay, id: uniqueId }),
          );
          expect(first.hasGivenId).toBe(id !== uniqueId);
        },
      ),
    );
  });

  it('sorts the messages of one publisher in publish order', () => {
    const ids = ['a-1', 'a-2', 'a-9', 'a-10', 'a-99', 'a-100'];
    expect(
      ids.toReversed().toSorted((one, other) => comparePlaces({ time: 1, id: one }, { time: 1, id: other })),
    ).toEqual(ids);
    expect(comparePlaces({ time: 2, id: 'a-1' }, { time: 1, id: 'a-2' })).toBeGreaterThan(0);
  });
});

describe('URL for the client', () => {
  it('becomes options with a user and without the parts that Sluice sets', () => {
    expect(clientOptions('amqp://host')).toEqual({
      hostname: 'host',
      port: '5672',
      username: 'guest',
      password: 'guest',
      vhost: '/',
    });
    expect(clientOptions('amqps://u%40:p%2F@[::1]:1/v%2Fw?heartbeat=9')).toEqual({
      hostname: '::1',
      port: '1',
      username: 'u@',
      password: 'p/',
      vhost: 'v/w',
      tls: true,
    });
  });

  it('identifies a server by host, port and vhost, and a given client by itself', () => {
    const ids = ['amqp://host', 'amqp://user:secret@host:5672/%2F', 'amqps://host:5672'].map((url) =>
      serverIdOf({ url }),
    );
    expect(new Set(ids)).toEqual(new Set(['host 5672 /']));
    const clients = [{}, {}].map((client) => ({ client }));
    const others = [{ url: 'amqp://host/v' }, { url: 'amqp://host:1' }, { url: 'amqp://other' }, ...clients].map(
      serverIdOf,
    );
    expect(new Set([...others, ...ids]).size).toBe(6);
    expect(clients.map(serverIdOf)).toEqual(others.slice(3));
  });

  it('is shown without its password', () => {
    fc.assert(
      fc.property(fc.webAuthority({ withPort: true }), fc.string({ unit: 'grapheme' }), (authority, password) => {
        const where = RABBITMQ_URL.whereOf(`amqp://user:${encodeURIComponent(`s3cret${password}`)}@${authority}/vhost`);
        expect(where ?? '').not.toContain('s3cret');
      }),
    );
  });
});

describe('Classification of RabbitMQ errors', () => {
  const { classify } = new EngineErrors(rabbitMqFailures(), { queue: 'q', server: 'somewhere' });
  const error = (code: string, message = code) => Object.assign(new Error(message), { code });

  it.each([
    error('NOT_FOUND'),
    error('RESOURCE_LOCKED'),
    error('INTERNAL_ERROR'),
    error('NACK'),
    error('NOT_ALLOWED', 'node connection limit (5) is reached'),
    error('PRECONDITION_FAILED', "cannot declare queue 'q' in vhost '/': queue limit in vhost '/' (5) is reached"),
    error('PRECONDITION_FAILED', 'delivery acknowledgement on channel 1 timed out'),
  ])('classifies as refused: %p', (each) => {
    expect(classify(each)).toBe('refused');
  });

  it.each([
    error('ACCESS_REFUSED'),
    error('NOT_ALLOWED', 'vhost x not found'),
    error('PRECONDITION_FAILED', "inequivalent arg 'x'"),
    error(
      'PRECONDITION_FAILED',
      "PRECONDITION_FAILED - inequivalent arg 'x-delivery-limit' for queue 'limits' in vhost '/': received none",
    ),
    error('VERSION_MISMATCH'),
    error('ERR_SSL_WRONG_VERSION_NUMBER'),
    new Error('maximum number of AMQP Channels already opened (2047)'),
  ])('classifies as fatal: %p', (each) => {
    expect(classify(each)).toBe('fatal');
  });

  it.each([
    error('ECONNREFUSED'),
    error('CONN_CLOSE'),
    error('CONNECTION_FORCED'),
    error('CH_CLOSE'),
    error('COMMAND_INVALID', 'received unexpected frame during negotiation: {"type":8,"channelId":0}'),
  ])('classifies as retryable: %p', (each) => {
    expect(classify(each)).toBe('retryable');
  });

  it('distinguishes a consumer timeout from other failed preconditions', () => {
    expect(
      isConsumerTimeout(
        error(
          'PRECONDITION_FAILED',
          'ChannelClose: PRECONDITION_FAILED - delivery acknowledgement on channel 1 timed out',
        ),
      ),
    ).toBe(true);
    expect(isConsumerTimeout(error('PRECONDITION_FAILED', 'unknown delivery tag 5'))).toBe(false);
    expect(isConsumerTimeout(undefined)).toBe(false);
  });
});
