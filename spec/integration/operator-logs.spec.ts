import type { QueueBackend } from 'sluice';
import type { LogDetails } from '../../src/internal/logger.js';
import { Holder, upTo } from '../support/consumers.js';
import { eventually } from '../support/eventually.js';
import { failureOf } from '../support/promises.js';
import type { Broker, FaultyServer } from './broker.js';
import { describeWithEveryEngine } from './every-engine.js';
import { Stage } from './stage.js';

const CONSUMERS = 50;

/** Number of failed reconnects per connection. With backoff, this is an outage of some seconds. */
const FAILURES = 6;

/** Maximum number of log lines of one outage, for any number of consumers. */
const MOST_LINES = 10;

interface Line {
  readonly level: 'warn' | 'error';
  readonly message: string;
  readonly details: LogDetails;
}

/** Records what an operator sees, and what is logged at `debug`. */
class OperatorLog {
  readonly lines: Line[] = [];
  readonly debugs: string[] = [];
  readonly warn = this.#keep('warn');
  readonly error = this.#keep('error');

  readonly debug = (message: string): void => {
    this.debugs.push(message);
  };

  get messages(): string[] {
    return this.lines.map(({ message }) => message);
  }

  #keep(level: Line['level']): (message: string, details?: object) => void {
    return (message, details = {}) => this.lines.push({ level, message, details });
  }
}

function expectReadable(log: OperatorLog): void {
  expect(log.messages.filter((message) => /[\r\n]| at .*:\d+:\d+/.test(message))).toEqual([]);
  const warnings = log.lines.filter(({ level }) => level === 'warn');
  expect(
    warnings.flatMap(({ details }) => Object.values(details)).filter((value) => typeof value === 'object'),
  ).toEqual([]);
}

/** Cases of a broker that refuses connections for some seconds. */
function outagesOn<Server extends FaultyServer>(broker: Broker<Server>): void {
  const stage = new Stage(broker);

  it.each([
    ['backends', 1],
    ['subscriptions of one backend', CONSUMERS],
  ])('is logged in a few lines by fifty %s, and all of them work again', async (_, each) => {
    const log = new OperatorLog();
    const { proxy, url } = await stage.proxy();
    const publisher = stage.open().queue;
    const backends = upTo(CONSUMERS / each).map(() => {
      const queue = broker.open({ url, name: stage.name, logger: log });
      stage.ending(() => queue.close());
      return queue;
    });
    const holders = backends.flatMap((queue) => upTo(each).map(() => new Holder(queue, { prefetch: 1 })));
    const publish = () => Promise.all(holders.map((_, n) => publisher.publish('number', { n })));

    // With a prefetch of 1, each consumer gets one message.
    await publish();
    await eventually(() => holders.every(({ held }) => held.length === 1));
    await Promise.all(holders.map(({ held: [delivery] }) => delivery?.ack()));
    const failures = FAILURES * proxy.connections;
    await proxy.refuse();
    proxy.cut();
    await eventually(() => log.debugs.filter((line) => line.includes('cannot connect')).length >= failures);
    await proxy.accept();
    await publish();
    await eventually(
      () => holders.every(({ held }) => held.length === 1),
      () => log.messages,
    );
    await eventually(() => log.messages.some((message) => message.startsWith('Reconnected to')));

    expect(log.lines.length).toBeLessThanOrEqual(MOST_LINES);
    // A connection that was being opened is not lost.
    expect(log.messages[0]).toMatch(/(lost the connection|cannot connect) to \S+ at /);
    expect(log.messages.at(-1)).toMatch(/^Reconnected to \S+ at \S+ after [\d.]+ s, \d+ attempts/);
    expectReadable(log);
  });
}

/** Cases of a server that refuses the password. */
function wrongPasswordOn<Server extends FaultyServer>(broker: Broker<Server>): void {
  const stage = new Stage(broker);

  /** Opens a queue whose URL has a wrong password. */
  const open = (log: OperatorLog): QueueBackend => {
    const url = new URL(stage.url);
    url.username = 'nobody';
    url.password = 's3cret';
    const queue = broker.open({ url: url.href, name: stage.name, logger: log });
    stage.ending(() => queue.close());
    return queue;
  };

  it('is logged in a few lines by a publisher and a consumer', async () => {
    const log = new OperatorLog();
    const queue = open(log);
    const holder = new Holder(queue);
    await failureOf(queue.publish('number', { n: 1 }));
    await eventually(() => holder.error !== undefined);
    expect(log.lines.length).toBeLessThanOrEqual(3);
    expect(log.lines.filter(({ level }) => level === 'error')).toHaveLength(1);
    expect(JSON.stringify([log.lines, log.debugs])).not.toContain('s3cret');
    expectReadable(log);
  });

  it('is logged once for a group with any number of subscribers', async () => {
    const log = new OperatorLog();
    const queue = open(log);
    const holders = upTo(CONSUMERS).map(() => new Holder(queue));
    await eventually(() => holders.every(({ error }) => error !== undefined));
    const again = new Holder(queue);
    await eventually(() => again.error !== undefined);
    expect(log.lines.filter(({ level }) => level === 'error')).toEqual([
      expect.objectContaining({ details: { queue: stage.name, group: 'default', error: holders[0]?.error } }),
    ]);
    expectReadable(log);
  });
}

describeWithEveryEngine('An outage of %s', outagesOn);

describeWithEveryEngine('A wrong password for %s', (broker) =>
  wrongPasswordOn({ ...broker, start: () => (broker.startLocked ?? broker.start)() }),
);
