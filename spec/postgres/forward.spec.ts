import {
  type AsyncLoopConsumerOptions,
  BackendUnavailableError,
  InvalidMessageError,
  MemoryBackend,
  type QueueBackend,
  QueueClosedError,
} from 'sluice';
import { type Forwarder, forward } from 'sluice/postgres';
import { type FakePublish, fakeBackend } from 'sluice/testing';
import { eventually } from '../support/eventually.js';
import { PostgresSuite } from '../support/postgres-suite.js';
import { failureOf } from '../support/promises.js';
import { recordingLogger, silentLogger } from '../support/recording-logger.js';
import { describeWithPostgres } from '../support/servers/describe-with.js';

const QUICKLY: AsyncLoopConsumerOptions = { retry: { delay: 5 }, logger: silentLogger };

describeWithPostgres('forward', () => {
  const suite = new PostgresSuite();

  /** Runs a forwarder until the end of the test. */
  const start = (
    source: QueueBackend,
    target: QueueBackend,
    options = QUICKLY,
  ): { forwarder: Forwarder; ended: Promise<void> } => {
    const forwarder = forward(source, target, options);
    const ended = forwarder.run();
    ended.catch(() => undefined);
    suite.ending(() => forwarder.shutdown({ timeout: 0 }));
    return { forwarder, ended };
  };

  /** Publishes messages with the numbers from `first` on. */
  const fill = async (queue: QueueBackend, count: number, first = 1): Promise<void> => {
    for (let n = first; n < first + count; n++)
      await queue.publish(`key-${n}`, { n }, { headers: { number: `${n}` }, id: `id-${n}` });
  };

  /** What arrives of the messages that `fill` publishes. */
  const filled = (count: number) =>
    Array.from({ length: count }, (_, index) => index + 1).map((n) => ({
      key: `key-${n}`,
      payload: { n },
      headers: { number: `${n}` },
      id: `id-${n}`,
    }));

  const emptied = (queue: QueueBackend) => eventually(async () => (await queue.stats()).unfinished === 0);

  /** Waits until a queue has so many messages, and returns them. */
  const held = async (queue: QueueBackend, count: number) => {
    const all: Pick<FakePublish, 'key' | 'payload' | 'headers' | 'id'>[] = [];
    for await (const { key, payload, headers, id } of queue.deliveries()) {
      all.push({ key, payload, headers, id });
      if (all.length === count) break;
    }
    return all;
  };

  describe('moves every message', () => {
    it('from PostgreSQL to memory, in order, with its key, headers and id', async () => {
      const [source, target] = [suite.open(), new MemoryBackend()];
      await fill(source, 30);
      start(source, target);
      expect(await held(target, 30)).toEqual(filled(30));
      await emptied(source);
    });

    it('from PostgreSQL to PostgreSQL', async () => {
      const [source, target] = [suite.open(), suite.open({ name: `${suite.name} target` })];
      await fill(source, 30);
      start(source, target);
      expect(await held(target, 30)).toEqual(filled(30));
      await emptied(source);
    });

    it('also those that come later, and those of transactions', async () => {
      const [source, target] = [suite.open(), new MemoryBackend()];
      start(source, target);
      await fill(source, 5);
      const connection = {
        query: (text: string, values?: unknown[]) => suite.run(text, values).then((rows) => ({ rows })),
      };
      await source.within(connection).publish('key', { n: 6 });
      expect((await held(target, 6)).map(({ payload }) => payload)).toEqual([1, 2, 3, 4, 5, 6].map((n) => ({ n })));
    });

    it('with an id of its own, if the publisher gave none', async () => {
      const source = suite.open();
      const { published, queue } = recording();
      await source.publish('key', {});
      await source.publish('key', {});
      const [first, second] = (await source.peek()).map(({ id }) => id);
      start(source, queue);
      await eventually(() => published.length === 2);
      expect(published.map(({ id }) => id)).toEqual([first, second]);
    });

    it('of one group', async () => {
      const source = suite.open({ groups: ['relay', 'audit'] });
      const target = new MemoryBackend();
      await fill(source, 3);
      start(source, target, { ...QUICKLY, group: 'relay' });
      expect(await held(target, 3)).toEqual(filled(3));
      await eventually(async () => (await source.stats({ group: 'relay' })).unfinished === 0);
      expect(await source.stats({ group: 'audit' })).toEqual({ ready: 3, unfinished: 3 });
    });

    it('in the order of each key, with more concurrency', async () => {
      const [source, target] = [suite.open(), new MemoryBackend()];
      for (let n = 0; n < 40; n++) await source.publish(`key-${n % 4}`, { n });
      start(source, target, { ...QUICKLY, concurrency: 4, orderBy: 'key', prefetch: 16 });
      const all = (await held(target, 40)).map(({ key, payload }) => ({ key, n: (payload as { n: number }).n }));
      for (let rest = 0; rest < 4; rest++) {
        const ofKey = all.filter(({ key }) => key === `key-${rest}`).map(({ n }) => n);
        expect(ofKey).toEqual(Array.from({ length: 10 }, (_, index) => index * 4 + rest));
      }
    });
  });

  describe('delivers at least once', () => {
    it('and a target that deduplicates stores a repeated message once', async () => {
      const [source, target] = [suite.open(), suite.open({ name: `${suite.name} target` })];
      await fill(source, 3);
      // The target stores each message, and its answer is lost once.
      const lost = new Set<unknown>();
      const unsure = {
        ...fakeBackend(),
        async publish(...message: Parameters<QueueBackend['publish']>) {
          await target.publish(...message);
          const id = message[2]?.id;
          if (lost.has(id)) return;
          lost.add(id);
          throw new BackendUnavailableError('The answer was lost');
        },
      };
      start(source, unsure);
      await emptied(source);
      expect(lost.size).toBe(3);
      expect(await target.stats()).toEqual({ ready: 3, unfinished: 3 });
      expect(await held(target, 3)).toEqual(filled(3));
    });

    it('after the connections to the source were cut', async () => {
      const [source, target] = [suite.open(), suite.open({ name: `${suite.name} target` })];
      start(source, target);
      for (let round = 0; round < 4; round++) {
        await fill(source, 10, round * 10 + 1);
        await suite.disconnect();
      }
      await eventually(async () => (await target.stats()).ready >= 40);
      await emptied(source);
      expect(await held(target, 40)).toEqual(filled(40));
    });

    it('between two forwarders of one queue', async () => {
      const [source, other] = [suite.open(), suite.open()];
      const target = suite.open({ name: `${suite.name} target` });
      await fill(source, 50);
      start(source, target);
      start(other, target);
      const all = await held(target, 50);
      expect(new Set(all.map(({ id }) => id)).size).toBe(50);
    });
  });

  it.each([undefined, { retry: { delay: 1 } }, { orderBy: undefined, retry: { count: undefined, delay: 1 } }])(
    'waits for a target that is down, and keeps the order: %j',
    async (options) => {
      const source = suite.open();
      let failures = 0;
      const { published, queue } = recording(() => {
        // More often than a message is retried by default, unless the pauses are long.
        if (failures++ < (options === undefined ? 2 : 20)) throw new BackendUnavailableError('The broker is down');
      });
      await fill(source, 3);
      start(source, queue, { logger: silentLogger, ...options });
      await emptied(source);
      expect(published.map(({ payload }) => payload)).toEqual([{ n: 1 }, { n: 2 }, { n: 3 }]);
    },
  );

  describe('gives up a message that the target can never store', () => {
    const refusing = () =>
      recording(({ payload }) => {
        if ((payload as { n: number }).n === 2)
          throw new InvalidMessageError('payload', 'at most 10 bytes', '11 bytes');
      });

    it('into `deadLetter`, at once', async () => {
      const [source, failed] = [suite.open(), new MemoryBackend()];
      const { published, queue } = refusing();
      await fill(source, 3);
      start(source, queue, { ...QUICKLY, deadLetter: failed });
      await emptied(source);
      expect(published.map(({ payload }) => payload)).toEqual([{ n: 1 }, { n: 3 }]);
      const [letter] = await held(failed, 1);
      expect(letter).toMatchObject({
        key: 'key-2',
        payload: { n: 2 },
        headers: { number: '2', 'sluice-attempts': '1' },
      });
      expect(letter?.headers?.['sluice-error']).toContain('at most 10 bytes, got 11 bytes');
    });

    it('and logs an error without `deadLetter`', async () => {
      const source = suite.open();
      const logger = recordingLogger();
      const statuses: string[] = [];
      const { published, queue } = refusing();
      await fill(source, 3);
      start(source, queue, { ...QUICKLY, logger, onOutcome: ({ status }) => statuses.push(status) });
      await emptied(source);
      expect(published.map(({ payload }) => payload)).toEqual([{ n: 1 }, { n: 3 }]);
      expect(statuses).toEqual(['acked', 'rejected', 'acked']);
      expect(logger.errors).toEqual([expect.stringContaining('delivery id-2')]);
      expect(logger.errors[0]).toContain('at most 10 bytes');
    });
  });

  describe('stops', () => {
    it('with an error when the target was closed, and keeps the messages', async () => {
      const [source, target] = [suite.open(), suite.open({ name: `${suite.name} target` })];
      await fill(source, 3);
      await target.close();
      const { forwarder, ended } = start(source, target);
      expect(await failureOf(ended)).toBeInstanceOf(QueueClosedError);
      await forwarder.shutdown();
      await eventually(async () => (await source.stats()).ready === 3);
      for await (const { payload } of source.deliveries()) {
        expect(payload).toEqual({ n: 1 });
        break;
      }
    });

    it('when it is shut down, after the message that it publishes', async () => {
      const source = suite.open();
      let finish = (): void => undefined;
      let begun = 0;
      const { published, queue } = recording(() => {
        begun++;
        return new Promise<void>((resolve) => {
          finish = resolve;
        });
      });
      await fill(source, 3);
      const { forwarder, ended } = start(source, queue);
      await eventually(() => begun === 1);
      const stopped = forwarder.shutdown();
      finish();
      await Promise.all([stopped, ended]);
      expect(published.map(({ payload }) => payload)).toEqual([{ n: 1 }]);
      await eventually(async () => (await source.stats()).ready === 2);
      expect(await source.stats()).toEqual({ ready: 2, unfinished: 2 });
    });

    it('when the publish ignores the shutdown, after `timeout`, and aborts its signal', async () => {
      const source = suite.open();
      let signal: AbortSignal | undefined;
      const stuck: QueueBackend = {
        ...fakeBackend(),
        publish: (_key, _payload, options) => {
          ({ signal } = options ?? {});
          return new Promise(() => undefined);
        },
      };
      await fill(source, 1);
      const { forwarder, ended } = start(source, stuck);
      await eventually(() => signal !== undefined);
      await forwarder.shutdown({ timeout: 10 });
      await ended;
      expect(signal?.aborted).toBe(true);
      await eventually(async () => (await source.stats()).ready === 1);
    });

    it('during an outage of the target, and runs again later', async () => {
      const source = suite.open();
      let isDown = true;
      let failures = 0;
      const { published, queue } = recording(() => {
        if (!isDown) return;
        failures++;
        throw new BackendUnavailableError('The broker is down');
      });
      await fill(source, 3);
      const { forwarder, ended } = start(source, queue);
      await eventually(() => failures > 3);
      await forwarder.shutdown();
      await ended;
      expect(published).toEqual([]);
      isDown = false;
      const again = forwarder.run();
      await emptied(source);
      await forwarder.shutdown();
      await again;
      expect(published.map(({ payload }) => payload)).toEqual([{ n: 1 }, { n: 2 }, { n: 3 }]);
    });

    it('when the source is closed', async () => {
      const source = suite.open();
      const { ended } = start(source, new MemoryBackend());
      await source.close();
      await ended;
    });

    it('with an error when the source has a fatal error', async () => {
      const source = suite.open({ url: suite.url.replace(/\/postgres$/, '/missing') });
      expect(await failureOf(start(source, new MemoryBackend()).ended)).toBeInstanceOf(BackendUnavailableError);
    });
  });

  it('refuses a target that cannot publish, and wrong options', () => {
    const source = suite.open();
    expect(() => forward(source, {} as QueueBackend)).toThrow('`target`');
    expect(() => forward(source, new MemoryBackend(), { retry: 3 as never })).toThrow('`retry`');
    expect(() => forward(source, new MemoryBackend(), { concurrency: 0 })).toThrow('`concurrency`');
  });

  /** A target that records what it stores. */
  function recording(onPublish?: (message: FakePublish) => unknown) {
    const queue = fakeBackend([], { onPublish });
    return { queue, published: queue.published };
  }
});
