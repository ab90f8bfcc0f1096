import type { QueueBackend } from 'sluice';
import { Counts as NatsCounts } from '../../src/nats/counts.js';
import { Counts } from '../../src/rabbitmq/counts.js';
import { upTo } from '../support/consumers.js';
import { eventually } from '../support/eventually.js';
import { NatsSuite } from '../support/nats-suite.js';
import { failureOf } from '../support/promises.js';
import { RabbitMqSuite } from '../support/rabbitmq-suite.js';
import { RedisSuite } from '../support/redis-suite.js';
import { retryOnce } from '../support/retry-once.js';
import { describeWithNats, describeWithRabbitMq, describeWithRedis } from '../support/servers/describe-with.js';
import type { TcpProxy } from '../support/servers/tcp-proxy.js';

/** How many calls are given up while there is no server. */
const GIVEN_UP = 100;

/** More than what a new connection costs beside the counts. */
const A_HANDFUL = 10;

interface Suite {
  proxy(): Promise<{ readonly proxy: TcpProxy; readonly url: string }>;
  open(options: { url: string; publishTimeout: number }): QueueBackend;
}

/** @param counted how often the server has counted so far */
function givesUp(suite: Suite, counted: () => number | Promise<number>): void {
  it('asks the server for no stats that were given up before it came back', async () => {
    const { proxy, url } = await suite.proxy();
    await proxy.refuse();
    const queue = suite.open({ url, publishTimeout: 500 });
    for (const error of await Promise.all(upTo(GIVEN_UP).map(() => failureOf(queue.stats()))))
      expect(error).toMatchObject({ name: 'BackendUnavailableError', retryable: true });
    const before = await counted();
    await proxy.accept();
    let asked = 0;
    const answered = () => {
      asked += 1;
      return queue.stats().then(
        () => true,
        () => false,
      );
    };
    await eventually(answered);
    expect((await counted()) - before).toBeLessThan(asked + A_HANDFUL);
  });
}

describeWithRedis('A RedisBackend without a server', () => {
  retryOnce();
  const suite = new RedisSuite();
  givesUp(suite, async () => (await suite.calls('evalsha')) + (await suite.calls('eval')));
});

describeWithNats('A NatsBackend without a server', () => {
  const count = jest.spyOn(NatsCounts.prototype, 'groups');
  givesUp(new NatsSuite(), () => count.mock.calls.length);
});

describeWithRabbitMq('A RabbitMqBackend without a server', () => {
  const count = jest.spyOn(Counts.prototype, 'consumers');
  givesUp(new RabbitMqSuite(), () => count.mock.calls.length);
});
