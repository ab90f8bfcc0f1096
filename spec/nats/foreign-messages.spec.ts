import { headers as createHeaders } from '@nats-io/transport-node';
import { Holder, upTo } from '../support/consumers.js';
import { eventually } from '../support/eventually.js';
import { NatsSuite } from '../support/nats-suite.js';
import { recordingLogger } from '../support/recording-logger.js';
import { describeWithNats } from '../support/servers/describe-with.js';

const HEADERS = 'Sluice-Headers';

describeWithNats('An unreadable message in the stream of a NatsBackend', () => {
  const suite = new NatsSuite();

  it.each<[what: string, key: string, data: string, headers: string | undefined, reason: RegExp]>([
    ['is empty', 'k', '', undefined, /"payload" is not JSON/],
    ['is not JSON', 'k', '{"n":', undefined, /"payload" is not JSON/],
    ['is a JSON array', 'k', '[1]', undefined, /"payload" is not a JSON object but an array/],
    ['is a JSON null', 'k', 'null', undefined, /"payload" is not a JSON object but null/],
    ['is a JSON string', 'k', '"x"', undefined, /"payload" is not a JSON object/],
    ['has headers that are not JSON', 'k', '{"n":1}', 'x', /"headers" is not JSON/],
    ['has headers that are a list', 'k', '{"n":1}', '[]', /"headers" is not a JSON object/],
    ['has headers that are no strings', 'k', '{"n":1}', '{"a":1}', /header "a"/],
    ['has a key that is not percent-encoded', '100%', '{"n":1}', undefined, /"key".*undefined/],
    ['has a key that is too long', 'x'.repeat(256), '{"n":1}', undefined, /"key"/],
  ])('is quarantined if it %s', async (_what, key, data, headersText, reason) => {
    const logger = recordingLogger();
    const queue = suite.open({ logger });
    await queue.publish('key', { n: 1 });
    const subject = `${suite.names.stream}.${key}`;
    const headers = createHeaders();
    headers.set('Other', 'kept');
    if (headersText !== undefined) headers.set(HEADERS, headersText);
    await suite.add(subject, data, { headers });
    await queue.publish('key', { n: 2 });
    const holder = new Holder(queue, { prefetch: 2 }, (delivery) => void delivery.ack());
    await eventually(async () => (await queue.stats()).unfinished === 0);
    expect(holder.numbers).toEqual([1, 2]);
    expect(await suite.quarantined()).toEqual([
      { subject: `${suite.names.quarantine}.${subject}`, reason: expect.stringMatching(reason), data },
    ]);
    const [kept] = await suite.stored(suite.names.quarantine);
    expect(kept?.header.get('Other')).toBe('kept');
    expect(logger.errors).toHaveLength(1);
    expect(logger.errors[0]).toContain(suite.names.quarantine);
    expect(logger.errors[0]).toMatch(reason);
    await eventually(async () => (await suite.length()) === 0);
  });

  it.each([
    ['a header whose name has a space', 'bad name: x'],
    ['a header whose name is not ASCII', 'n\u00e4me: x'],
    ['a header with a line feed in it', 'name: a\nb'],
    ['a header without a colon', 'nothing'],
    ['a header without a name', ': x'],
  ])('is delivered or quarantined if it has %s, and does not delay others', async (_what, header) => {
    const queue = suite.open({ lease: 1000 });
    await queue.publish('key', { n: 1 });
    await suite.addRaw(`${suite.names.stream}.k`, header, '{"n":7}');
    await queue.publish('key', { n: 2 });
    const holder = new Holder(queue, { prefetch: 4 }, (delivery) => void delivery.ack());
    await eventually(async () => (await queue.stats()).unfinished === 0);
    const kept = (await suite.quarantined()).map(({ data }) => data);
    expect([
      holder.numbers.filter((n) => n !== 7),
      [...holder.numbers.filter((n) => n === 7).map((n) => JSON.stringify({ n })), ...kept],
    ]).toEqual([[1, 2], ['{"n":7}']]);
  });

  it('is quarantined unchanged, also if it is not text', async () => {
    const queue = suite.open();
    await queue.stats();
    const bytes = Uint8Array.from([0, 255, 254, 123]);
    await suite.add(`${suite.names.stream}.k`, bytes);
    void new Holder(queue);
    await eventually(async () => (await suite.length(suite.names.quarantine)) === 1);
    const [kept] = await suite.stored(suite.names.quarantine);
    expect(kept?.data).toEqual(bytes);
  });

  it('is quarantined if it has the maximum size of the server', async () => {
    const queue = suite.open({ lease: 1000 });
    await queue.stats();
    const { max_payload: most = 0 } = (await suite.connection()).info ?? {};
    await suite.add(`${suite.names.stream}.k`, 'x'.repeat(most));
    await queue.publish('key', { n: 1 });
    const holder = new Holder(queue, {}, (delivery) => void delivery.ack());
    await eventually(async () => (await queue.stats()).unfinished === 0);
    expect(holder.numbers).toEqual([1]);
    const kept = await suite.stored(suite.names.quarantine);
    expect(kept.map(({ data }) => data.length)).toContain(most);
    expect(kept.some(({ header }) => header?.get('Sluice-Reason').includes('not JSON'))).toBe(true);
  });

  it('does not delay others: thousands of them, and valid messages in between', async () => {
    const queue = suite.open();
    await queue.stats();
    const connection = await suite.connection();
    for (const n of upTo(3)) {
      for (const odd of upTo(1000)) connection.publish(`${suite.names.stream}.odd`, String(odd));
      await connection.flush();
      await queue.publish('key', { n });
    }
    const holder = new Holder(queue, { prefetch: 1 }, (delivery) => void delivery.ack());
    await eventually(() => holder.deliveries.length === 3);
    await eventually(async () => (await suite.length()) === 0);
    expect(await suite.length(suite.names.quarantine)).toBe(3000);
  });

  it('is quarantined by each group', async () => {
    const queue = suite.open({ groups: ['a', 'b'] });
    await queue.stats();
    await suite.add(`${suite.names.stream}.k`, 'odd');
    void new Holder(queue, { group: 'a' });
    await eventually(async () => (await suite.length(suite.names.quarantine)) === 1);
    expect(await suite.length()).toBe(1);
    void new Holder(queue, { group: 'b' });
    await eventually(async () => (await suite.length()) === 0);
    const kept = await suite.quarantined();
    expect(new Set(kept.map(({ data }) => data))).toEqual(new Set(['odd']));
    expect(await queue.stats()).toEqual({ ready: 0, unfinished: 0 });
  });
});

describeWithNats('A message of another program', () => {
  const suite = new NatsSuite();

  it('is delivered if it is valid', async () => {
    const queue = suite.open();
    await queue.stats();
    await suite.add(`${suite.names.stream}.order.placed`, '{"n":7}');
    const holder = new Holder(queue);
    await eventually(() => holder.deliveries.length === 1);
    expect(holder.of(7)).toMatchObject({ key: 'order.placed', attempt: 1, headers: {}, id: '1' });
    expect(Math.abs(holder.of(7).publishedAt - Date.now())).toBeLessThan(60_000);
    expect(await holder.of(7).ack()).toBe(true);
  });

  it('is not mistaken for a message that has its sequence number as id', async () => {
    const queue = suite.open();
    await queue.stats();
    const headers = createHeaders();
    headers.set('Nats-Msg-Id', '2');
    await suite.add(`${suite.names.stream}.k`, '{"n":1}', { headers });
    await suite.add(`${suite.names.stream}.k`, '{"n":2}');
    const holder = new Holder(queue);
    await eventually(() => holder.deliveries.length >= 2);
    expect(holder.held).toHaveLength(2);
    expect(await Promise.all(holder.held.map((delivery) => delivery.ack()))).toEqual([true, true]);
  });

  it('gets the confirm of the stream for its request', async () => {
    const queue = suite.open();
    await queue.stats();
    const connection = await suite.connection();
    const answer = await connection.request(`${suite.names.stream}.k`, '{"n":1}');
    expect(answer.json()).toMatchObject({ stream: suite.names.stream, seq: 1 });
  });
});

describeWithNats('A message of another program among the delayed ones', () => {
  const suite = new NatsSuite();

  it.each([
    ['on a subject that contains no delay', 'm.soon.key', '{"n":1}'],
    ['on a subject that says a negative one', 'm.-5.key', '{"n":1}'],
    ['on a subject that says one that is too long', `m.${'9'.repeat(17)}.key`, '{"n":1}'],
    ['on a subject that has no key', 'm.5', '{"n":1}'],
    ['on a subject without a delay', 'other', '{"n":1}'],
    ['on the subject that is there for the clock', 'clock', '{"n":1}'],
    ['without a payload', 'm.5.key', ''],
  ])('is quarantined, and does not delay others: %s', async (_what, subject, data) => {
    const queue = suite.open();
    void new Holder(queue, {}, (delivery) => void delivery.ack());
    await queue.publish('key', { n: 1 });
    await suite.add(`${suite.names.delayedStream}.${subject}`, data);
    await eventually(async () => (await suite.length(suite.names.quarantine)) === 1);
    expect((await suite.quarantined()).map((kept) => kept.data)).toEqual([data]);
    await eventually(async () => (await queue.stats()).unfinished === 0);
    expect(await suite.length(suite.names.delayedStream)).toBe(0);
  });

  it.each([
    ['a good one', 'Other: x'],
    ['one whose name has a space', 'bad name: x'],
    ['one with a line feed in it', 'name: a\nb'],
  ])('arrives when it is due, with headers or quarantined: %s', async (_what, header) => {
    const queue = suite.open();
    const holder = new Holder(queue, {}, (delivery) => void delivery.ack());
    await queue.stats();
    await suite.addRaw(`${suite.names.delayedStream}.m.50.key`, header, '{"n":7}');
    await eventually(async () => holder.deliveries.length + ((await suite.length(suite.names.quarantine)) ?? 0) === 1);
    await eventually(async () => (await queue.stats()).unfinished === 0);
  });
});
