import { connect } from 'node:net';
import { Holder, upTo } from '../support/consumers.js';
import { eventually } from '../support/eventually.js';
import { recordingLogger } from '../support/recording-logger.js';
import { RedisSuite } from '../support/redis-suite.js';
import { describeWithRedis } from '../support/servers/describe-with.js';
import { StrangeServer } from '../support/servers/strange-server.js';

/** Bytes in a millisecond. */
const SPEED = 8000;

describeWithRedis('A link that takes longer for a payload than an answer may keep waiting', () => {
  const suite = new RedisSuite();

  /** The URL of the server, behind a link that is slow both ways. */
  const slowly = async () => {
    const link = await StrangeServer.start((client) => {
      const target = connect(suite.server.port, '127.0.0.1');
      for (const [from, to] of [
        [client, target],
        [target, client],
      ] as const) {
        from.on('data', (chunk: Buffer) => {
          to.write(chunk);
          from.pause();
          setTimeout(() => from.resume(), chunk.length / SPEED);
        });
        from.on('error', () => undefined).on('close', () => to.destroy());
      }
    });
    suite.ending(() => link.stop());
    return `redis://127.0.0.1:${link.port}`;
  };

  const text = 'x'.repeat(1_000_000);

  it('does not keep a consumer from getting many large messages', async () => {
    const direct = suite.open();
    for (const n of upTo(16)) await direct.publish('key', { n, text });
    const logger = recordingLogger();
    const holder = new Holder(suite.open({ url: await slowly(), lease: 300, logger }));
    await eventually(() => holder.deliveries.length === 16);
    expect(holder.attempts).toEqual(upTo(16).map((n) => [n, 1]));
  });

  it('does not keep a publisher from sending a large message', async () => {
    const queue = suite.open({ url: await slowly(), lease: 300, publishTimeout: 20_000 });
    await queue.publish('key', { n: 1, text: text.repeat(12) });
    expect(await suite.length()).toBe(1);
  });
});
