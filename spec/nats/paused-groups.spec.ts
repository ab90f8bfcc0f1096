import { setTimeout as sleep } from 'node:timers/promises';
import { Holder } from '../support/consumers.js';
import { eventually } from '../support/eventually.js';
import { NatsSuite } from '../support/nats-suite.js';
import { recordingLogger } from '../support/recording-logger.js';
import { describeWithNatsSince } from '../support/servers/describe-with.js';

const HOUR = 3_600_000;

/** In milliseconds. After a second without a heartbeat, a consumer checks its group. */
const LEASE = 1000;

describeWithNatsSince([2, 11], 'A group of a NatsBackend that is paused on the server', () => {
  const suite = new NatsSuite();

  it('gets no message, keeps its messages and continues when it is resumed', async () => {
    const logger = recordingLogger();
    const queue = suite.open({ groups: ['a', 'b'], lease: LEASE, logger });
    const [a, b] = ['a', 'b'].map((group) => new Holder(queue, { group })) as [Holder, Holder];
    await queue.publish('key', { n: 1 });
    await eventually(() => a.held.length === 1 && b.held.length === 1);
    const { consumers } = await suite.manager();
    await consumers.pause(suite.names.stream, 'a', new Date(Date.now() + HOUR));
    await queue.publish('key', { n: 2 });
    await eventually(() => b.numbers.includes(2));
    // Several heartbeats: a deleted group would be noticed.
    await sleep(3 * LEASE);
    expect(a.numbers).toEqual([1]);
    expect(await queue.stats({ group: 'a' })).toEqual({ ready: 1, unfinished: 2 });
    expect(await a.of(1).ack()).toBe(true);
    await consumers.resume(suite.names.stream, 'a');
    await eventually(() => a.numbers.includes(2));
    expect(a.attempts).toEqual([
      [1, 1],
      [2, 1],
    ]);
    expect(logger.warnings).toEqual([]);
  });
});
