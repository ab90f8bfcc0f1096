import { DiscardPolicy, RetentionPolicy, StorageType } from '@nats-io/jetstream';
import type { QueueBackend } from 'sluice';
import { Holder, upTo } from '../support/consumers.js';
import { eventually } from '../support/eventually.js';
import { NatsSuite } from '../support/nats-suite.js';
import { failureOf } from '../support/promises.js';
import { describeWithNats } from '../support/servers/describe-with.js';
import type { NatsServerOptions } from '../support/servers/nats-server.js';

/** In milliseconds, longer than any of these tests. */
const LONG = 100_000;

const text = 'x'.repeat(40_000);

/** A server with one limited account. */
const account = (limits: string): NatsServerOptions => ({
  config: { accounts: `{ A: { jetstream: { ${limits} }, users: [{ user: a, password: a }] } }`, no_auth_user: 'a' },
});

/** Publishes large messages until one exceeds the limit. Resolves to that publish. */
async function fill(queue: QueueBackend): Promise<{ readonly count: number; readonly last: Promise<void> }> {
  for (let n = 1; ; n++) {
    const last = queue.publish('key', { n, text });
    // The test checks its error.
    last.catch(() => {});
    const tooMany = new Promise((resolve) => setTimeout(() => resolve('full'), 1000));
    if ((await Promise.race([last, tooMany])) === 'full') return { count: n, last };
  }
}

function passes(open: (options: { readonly publishTimeout: number }) => QueueBackend, reason: RegExp): void {
  it('stores the message as soon as there is room again', async () => {
    const queue = open({ publishTimeout: LONG });
    const { count, last } = await fill(queue);
    const holder = new Holder(queue, {}, (delivery) => void delivery.ack());
    await last;
    await eventually(() => holder.deliveries.length === count);
    expect(holder.attempts).toEqual(upTo(count).map((n) => [n, 1]));
  });

  it('rejects the message after its timeout: retryable, and with the reason', async () => {
    const { last } = await fill(open({ publishTimeout: 2000 }));
    const error = await failureOf(last);
    expect(error).toMatchObject({ name: 'BackendUnavailableError', retryable: true });
    expect(error.message).toMatch(reason);
  });
}

/** Expects publishing and consuming to fail immediately, with a reason. */
async function failsForGood(queue: QueueBackend, reason: RegExp): Promise<void> {
  const error = await failureOf(queue.publish('key', { n: 1 }));
  expect(error).toMatchObject({ name: 'BackendUnavailableError', retryable: false });
  expect(error.message).toMatch(reason);
  const holder = new Holder(queue);
  await eventually(() => holder.error !== undefined);
  expect(holder.error).toMatchObject({ retryable: false });
}

describeWithNats('A NatsBackend whose account is full', () => {
  const suite = new NatsSuite(account('max_mem: 1MB, max_file: 200KB'));

  afterEach(async () => {
    const manager = await suite.manager();
    for await (const name of manager.streams.names()) await manager.streams.delete(name);
  });

  passes((options) => suite.open(options), /resource limits exceeded for account/);
});

describeWithNats('A NatsBackend whose server is full', () => {
  const suite = new NatsSuite({ jetStream: { max_file_store: '200KB' } });

  afterEach(async () => {
    const manager = await suite.manager();
    for await (const name of manager.streams.names()) await manager.streams.delete(name);
  });

  passes((options) => suite.open(options), /insufficient resources/);
});

describeWithNats('A NatsBackend whose stream has a limit', () => {
  const suite = new NatsSuite();

  beforeEach(async () => {
    const manager = await suite.manager();
    const { stream, messages } = suite.names;
    await manager.streams.add({
      name: stream,
      subjects: [messages],
      retention: RetentionPolicy.Limits,
      storage: StorageType.File,
      discard: DiscardPolicy.New,
      max_msgs: 3,
    });
  });

  passes((options) => suite.open(options), /maximum messages exceeded/);
});

describeWithNats('A NatsBackend whose account has its maximum of streams', () => {
  const suite = new NatsSuite(account('max_file: 10MB, max_streams: 1'));

  it('fails immediately', async () => {
    await failsForGood(suite.open({ publishTimeout: LONG }), /maximum number of streams/);
  });
});

describeWithNats('A NatsBackend whose server limits the deduplication window', () => {
  const suite = new NatsSuite({ jetStream: { limits: '{ duplicate_window: "1m" }' } });

  it('fails immediately', async () => {
    await failsForGood(suite.open({ publishTimeout: LONG }), /duplicates window/);
  });
});

describeWithNats('A NatsBackend whose server has no file storage', () => {
  const suite = new NatsSuite({ jetStream: { max_file_store: '0' } });

  it('fails immediately', async () => {
    await failsForGood(suite.open({ publishTimeout: LONG }), /insufficient storage/);
  });

  it('stores messages in memory with `storage: memory`', async () => {
    await suite.open({ storage: 'memory' }).publish('key', { n: 1 });
  });
});

describeWithNats('A NatsBackend whose account has no file storage', () => {
  const suite = new NatsSuite(account('max_mem: 10MB, max_file: 0'));

  it('fails immediately', async () => {
    await failsForGood(suite.open({ publishTimeout: LONG }), /insufficient storage/);
  });
});
