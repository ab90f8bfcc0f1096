import { runScript } from '../support/run-script.js';

const HOUR = 3_600_000;

describe('A process with a queue', () => {
  // All cases run in one process: each of them would keep it alive.
  it('exits after close() in any state', async () => {
    const result = await runScript(`
      const { MemoryBackend, receive } = sluice;
      const afterDelayedPublish = new MemoryBackend();
      await afterDelayedPublish.publish('k', {}, { delay: ${HOUR} });
      await afterDelayedPublish.close();

      const withSubscriberThatLeft = new MemoryBackend();
      const subscription = withSubscriberThatLeft.deliveries().subscribe();
      await withSubscriberThatLeft.publish('k', {}, { delay: ${HOUR} });
      await withSubscriberThatLeft.close();
      subscription.unsubscribe();

      const discarded = new MemoryBackend();
      discarded.deliveries().subscribe();
      await discarded.publish('k', {}, { delay: ${HOUR} });
      await discarded.close({ drain: false });

      const nackedForLong = new MemoryBackend();
      nackedForLong.deliveries().subscribe((delivery) => delivery.nack({ delay: ${HOUR} }));
      await nackedForLong.publish('k', {});
      await nackedForLong.close({ drain: false });

      const waitedFor = new MemoryBackend();
      void waitedFor.consume({ signal: new AbortController().signal }).next();
      receive(waitedFor).catch(() => {});
      await waitedFor.close();

      const held = new MemoryBackend();
      held.deliveries().subscribe();
      await held.publish('k', {});
      await held.close();
      console.log('end of script');
    `);
    expect(result).toEqual({ exit: 0, output: 'end of script' });
  });

  it('exits with an idle queue that is not closed', async () => {
    const result = await runScript(`
      const { MemoryBackend, receive } = sluice;
      const queue = new MemoryBackend();
      queue.deliveries().subscribe((delivery) => delivery.ack());
      void queue.consume().next();
      await queue.publish('k', {});
      console.log('end of script');
    `);
    expect(result).toEqual({ exit: 0, output: 'end of script' });
  });

  it('waits for delayed messages while a consumer is subscribed to a closed queue, then exits', async () => {
    const result = await runScript(`
      const { MemoryBackend, receive } = sluice;
      const queue = new MemoryBackend();
      queue.deliveries().subscribe({
        next: (delivery) => { console.log(delivery.key); void delivery.ack(); },
        complete: () => console.log('complete'),
      });
      void queue.publish('late', {}, { delay: 50 });
      await queue.close();
      console.log('end of script');
    `);
    expect(result).toEqual({ exit: 0, output: 'end of script\nlate\ncomplete' });
  });
});
