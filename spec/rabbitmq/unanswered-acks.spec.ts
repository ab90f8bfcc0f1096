import { Holder, upTo } from '../support/consumers.js';
import { eventually } from '../support/eventually.js';
import { RabbitMqSuite } from '../support/rabbitmq-suite.js';
import { describeWithRabbitMq } from '../support/servers/describe-with.js';

describeWithRabbitMq('An acknowledgement that is on its way when the connection to RabbitMQ breaks', () => {
  const suite = new RabbitMqSuite();

  /** Publishes messages of another program, which all have one id and one time. */
  const addForeign = async (numbers: readonly number[], publishedAt: number) => {
    for (const n of numbers) {
      const headers = { 'sluice-published-at': publishedAt };
      await suite.add({ type: 'key', messageId: 'shared', contentEncoding: 'utf-8', headers }, Buffer.from(JSON.stringify({ n })));
    }
  };

  const started = async (options: { readonly prefetch: number }, onNext?: ConstructorParameters<typeof Holder>[2]) => {
    const { proxy, url } = await suite.proxy();
    const queue = suite.open({ url });
    await queue.stats();
    return { proxy, queue, consume: () => new Holder(queue, options, onNext) };
  };

  it.each([1, 5])('settles that message only: all others with its id are handled, with a prefetch of %d', async (prefetch) => {
    const acked: number[] = [];
    let broken = false;
    const { proxy, queue, consume } = await started({ prefetch }, (delivery) => {
      if (!broken) return;
      const { n } = delivery.payload as { n: number };
      void delivery.ack().then((counted) => counted && acked.push(n));
    });
    await addForeign(upTo(50), Date.now());
    const holder = consume();
    await eventually(() => holder.held.length === prefetch);
    proxy.stall('to-client');
    const counted = holder.of(1).ack();
    // The acknowledgement leaves before the connection breaks, and its answer never comes.
    const { bytes } = proxy;
    await eventually(() => proxy.bytes['to-target'] > bytes['to-target']);
    broken = true;
    proxy.cut();
    proxy.resume();
    expect(await counted).toBe(true);
    await eventually(
      () => acked.length >= 49,
      () => acked,
    );
    expect(new Set(acked)).toEqual(new Set(upTo(50).slice(1)));
    await eventually(async () => (await queue.stats()).unfinished === 0);
  });

  it('settles the message when the broker delivers it again, without a second run', async () => {
    const { proxy, queue, consume } = await started({ prefetch: 3 });
    await addForeign(upTo(3), Date.now());
    const holder = consume();
    await eventually(() => holder.held.length === 3);
    proxy.stall('to-target');
    const counted = holder.of(2).ack();
    // The acknowledgement is written in a later turn of the event loop.
    await new Promise((resolve) => setTimeout(resolve, 50));
    proxy.cut();
    proxy.resume();
    expect(await counted).toBe(true);
    await eventually(() => holder.held.length === 2);
    expect(holder.numbers.slice(3)).toEqual([1, 3]);
    await eventually(async () => (await queue.stats()).unfinished === 2);
  });
});
