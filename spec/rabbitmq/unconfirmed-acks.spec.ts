import type { Incoming } from '../../src/rabbitmq/client.js';
import { type Received, readMessage } from '../../src/rabbitmq/message.js';
import { UnconfirmedAcks } from '../../src/rabbitmq/unconfirmed-acks.js';

const MINUTE = 60_000;

/** An id as the publisher makes them. Only these are remembered. */
const ownId = (n: number) => `0123456789abcdef-${n}`;
const OWN = ownId(1);
const OTHER = ownId(2);

let now = 0;

beforeEach(() => {
  now = 0;
  jest.spyOn(performance, 'now').mockImplementation(() => now);
});

afterEach(() => jest.restoreAllMocks());

function received(given: {
  id?: string;
  time?: number;
  body?: string;
  attempts?: number;
  deliveries?: number;
  redelivered?: boolean;
}): Received {
  const { id = OWN, time = 1, body = '{}', attempts = 0, deliveries, redelivered = false } = given;
  const headers = {
    'sluice-published-at': time,
    'sluice-attempts': attempts,
    ...(deliveries !== undefined && { 'x-delivery-count': deliveries }),
  };
  const original: Incoming = {
    deliveryTag: 1,
    redelivered,
    messageId: id,
    type: 'key',
    headers,
    body: Buffer.from(body),
  };
  return readMessage(original) as Received;
}

describe('UnconfirmedAcks', () => {
  it('recognizes a redelivered message once', () => {
    const done = new UnconfirmedAcks();
    done.add(received({}));
    expect(done.take(received({ redelivered: true, deliveries: 1 }))).toBe(true);
    expect(done.take(received({ redelivered: true, deliveries: 2 }))).toBe(false);
  });

  it.each([
    ['one that is delivered for the first time', {}],
    ['another id', { id: OTHER, redelivered: true }],
    ['another time', { time: 2, redelivered: true }],
    ['another body', { body: '{"n":1}', redelivered: true }],
    ['a copy for a later attempt', { attempts: 1, redelivered: true }],
  ])('does not confuse with the message: %s', (_, other) => {
    const done = new UnconfirmedAcks();
    done.add(received({}));
    expect(done.take(received(other))).toBe(false);
    expect(done.take(received({ redelivered: true }))).toBe(true);
  });

  it('recognizes a redelivery by its count', () => {
    const done = new UnconfirmedAcks();
    done.add(received({}));
    expect(done.take(received({ deliveries: 1 }))).toBe(true);
  });

  it('counts identical messages', () => {
    const done = new UnconfirmedAcks();
    done.add(received({}));
    done.add(received({}));
    const again = received({ redelivered: true });
    expect([done.take(again), done.take(again), done.take(again)]).toEqual([true, true, false]);
  });

  it('does not recognize messages of other programs, because an equal one may be another message', () => {
    const done = new UnconfirmedAcks();
    for (const id of ['a', '0123456789ABCDEF-1', '0123456789abcdef', '00123456789abcdef-1', '0123456789abcdef-1x']) {
      done.add(received({ id }));
      expect(done.take(received({ id, redelivered: true }))).toBe(false);
    }
  });

  it('forgets a message after ten minutes', () => {
    const done = new UnconfirmedAcks();
    done.add(received({ id: OWN }));
    now = 9 * MINUTE;
    done.add(received({ id: OTHER }));
    now = 10 * MINUTE + 1;
    expect(done.take(received({ id: OWN, redelivered: true }))).toBe(false);
    expect(done.take(received({ id: OTHER, redelivered: true }))).toBe(true);
  });

  it('remembers the latest 10,000 messages', () => {
    const done = new UnconfirmedAcks();
    for (let n = 0; n < 10_001; n++) done.add(received({ id: ownId(n) }));
    expect(done.take(received({ id: ownId(0), redelivered: true }))).toBe(false);
    expect(done.take(received({ id: ownId(1), redelivered: true }))).toBe(true);
  });
});
