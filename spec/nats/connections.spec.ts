import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { QueueBackend } from 'sluice';
import { Holder, upTo } from '../support/consumers.js';
import { eventually } from '../support/eventually.js';
import { NatsSuite } from '../support/nats-suite.js';
import { failureOf } from '../support/promises.js';
import { retryOnce } from '../support/retry-once.js';
import { ROOT } from '../support/root.js';
import { describeWithNats } from '../support/servers/describe-with.js';

/** Publishes a message, consumes and acknowledges it. */
async function works(queue: QueueBackend): Promise<void> {
  const holder = new Holder(queue);
  await queue.publish('key', { n: 1 });
  await eventually(() => holder.deliveries.length === 1);
  expect(await holder.of(1).ack()).toBe(true);
  expect(await queue.stats()).toEqual({ ready: 0, unfinished: 0 });
  holder.subscription.unsubscribe();
}

describeWithNats('The connection of a NatsBackend', () => {
  retryOnce();
  const suite = new NatsSuite();

  it('does not exist before the first use, nor after close()', async () => {
    const { proxy, url } = await suite.proxy();
    const queue = suite.open({ url });
    queue.deliveries();
    queue.consume();
    expect(proxy.accepted).toBe(0);
    await works(queue);
    expect(proxy.connections).toBe(1);
    await queue.close();
    await eventually(() => proxy.connections === 0);
  });

  it('is shared by all subscribers', async () => {
    const { proxy, url } = await suite.proxy();
    const queue = suite.open({ url, groups: ['a', 'b', 'unused'] });
    const holders = upTo(20).map((n) => new Holder(queue, { group: n % 2 === 0 ? 'a' : 'b', prefetch: n }));
    await Promise.all(upTo(10).map((n) => queue.publish('key', { n }, { delay: n % 2 })));
    await eventually(() => holders.flatMap(({ deliveries }) => deliveries).length === 20);
    await queue.stats();
    // The first of the two closes when the server has greeted.
    expect([proxy.accepted, proxy.connections]).toEqual([2, 1]);
  });

  it('sends little while the queue is idle', async () => {
    const { proxy, url } = await suite.proxy();
    const queue = suite.open({ url });
    await works(queue);
    void new Holder(queue);
    await queue.publish('key', { n: 2 }, { delay: 3_600_000 });
    await sleep(1500);
    const { bytes } = proxy;
    await sleep(2000);
    expect(proxy.bytes['to-client'] - bytes['to-client']).toBeLessThan(5000);
    expect(proxy.bytes['to-target'] - bytes['to-target']).toBeLessThan(5000);
  });

  it.each([
    ['frozen', 'freeze'],
    ['down', 'down'],
  ])('closes in time while the server is %s', async (_what, how) => {
    const { proxy, url } = await suite.proxy();
    const queue = suite.open({ url });
    const holder = new Holder(queue, { prefetch: 2 });
    await Promise.all(upTo(5).map((n) => queue.publish('key', { n })));
    await eventually(() => holder.deliveries.length === 2);
    expect(await holder.of(1).ack()).toBe(true);
    if (how === 'freeze') proxy.stall();
    else {
      await proxy.refuse();
      proxy.cut();
    }
    const late = [holder.of(2).ack(), failureOf(queue.publish('key', { n: 6 }))];
    await queue.close();
    expect(holder.completed).toBe(true);
    expect(await Promise.all(late)).toEqual([false, expect.objectContaining({ name: 'QueueClosedError' })]);
    proxy.resume();
    await eventually(() => proxy.connections === 0);
  });

  it('closes in time if it was never established', async () => {
    const { proxy, url } = await suite.proxy();
    await proxy.refuse();
    const queue = suite.open({ url });
    const holder = new Holder(queue);
    const published = failureOf(queue.publish('key', { n: 1 }));
    await sleep(100);
    await queue.close();
    expect((await published).name).toBe('QueueClosedError');
    expect(holder.completed).toBe(true);
  });

  it.each([
    ['has done something of everything', ''],
    ['is cut off', 'await proxyCut();'],
    [
      'waits for a response',
      'process.kill(server, "SIGSTOP"); void queue.publish("key", { n: 9 }).catch(() => {}); setTimeout(() => process.kill(server, "SIGCONT"), 9000).unref();',
    ],
  ])('does not keep a process alive that has closed its queue after it %s', async (_what, before) => {
    const { proxy, url } = await suite.proxy();
    const program = `
      import { NatsBackend } from '${ROOT}/src/nats/index.js';
      const server = ${suite.server.pid};
      const proxyCut = () => new Promise((resolve) => { process.stdout.write('cut\\n'); process.stdin.once('data', () => { process.stdin.unref(); resolve(undefined); }); });
      const queue = new NatsBackend({ url: '${url}', name: '${suite.name}', logger: { debug() {}, warn() {}, error() {} } });
      await queue.publish('key', { n: 1 });
      await queue.publish('key', { n: 2 }, { delay: 60_000 });
      let times = 0;
      queue.deliveries().subscribe((delivery) => void (times++ === 0 ? delivery.nack({ delay: 60_000 }) : delivery.ack()));
      while (times === 0) await new Promise((resolve) => setTimeout(resolve, 10));
      await queue.publish('key', { n: 3 });
      while (times === 1) await new Promise((resolve) => setTimeout(resolve, 10));
      ${before}
      await queue.close();
      // The loader of this file keeps handles open before and after.
      for (let turn = 0; turn < 100; turn++) await new Promise((resolve) => setImmediate(resolve));
      const resources = process.getActiveResourcesInfo().filter((resource) => /Timeout|TCP/.test(resource));
      process.stdout.write('closed with [' + resources + ']\\n');`;
    const file = path.join(ROOT, '.cache', `exit-${process.pid}-${Math.random()}.mts`);
    await mkdir(path.dirname(file), { recursive: true });
    await writeFile(file, program);
    suite.ending(() => rm(file));
    suite.ending(() => suite.server.thaw());
    const child = spawn(process.execPath, ['--import', 'tsx', file], { cwd: ROOT, stdio: ['pipe', 'pipe', 'inherit'] });
    suite.ending(() => child.kill());
    let printed = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      printed += text;
      if (!text.includes('cut')) return;
      void proxy.refuse().then(() => {
        proxy.cut();
        child.stdin.write('done\n');
      });
    });
    const [code] = await once(child, 'close');
    expect([code, printed]).toEqual([0, expect.stringContaining('closed with []')]);
  });
});
