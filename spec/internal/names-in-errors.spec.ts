import { handle, MemoryBackend, receive, route } from 'sluice';
import { fakeBackend } from 'sluice/testing';
import { outcomeOf } from '../support/promises.js';
import { recordingLogger, silentLogger } from '../support/recording-logger.js';

const NAME = 'a"\n[ERROR] forged\u001b[31m';
const ESCAPED = JSON.stringify(NAME);

async function messageOf(promise: Promise<unknown>): Promise<string> {
  const outcome = await outcomeOf(promise);
  return outcome.state === 'rejected' ? (outcome.reason as Error).message : outcome.state;
}

describe('A name with line breaks and terminal codes is escaped in the error', () => {
  it('of a closed queue', async () => {
    const queue = new MemoryBackend({ name: NAME, logger: silentLogger });
    const awaited = messageOf(receive(queue));
    await queue.close();
    expect(await awaited).toContain(ESCAPED);
    expect(await messageOf(queue.publish('key', {}))).toContain(ESCAPED);
  });

  it('of a full queue', async () => {
    const queue = new MemoryBackend({ name: NAME, capacity: 1, overflow: 'error', logger: silentLogger });
    await queue.publish('key', {});
    expect(await messageOf(queue.publish('key', {}))).toContain(ESCAPED);
  });

  it('of an undeclared group', async () => {
    const queue = new MemoryBackend({ name: NAME, groups: [`${NAME}1`], logger: silentLogger });
    const message = await messageOf(queue.stats({ group: `${NAME}2` }));
    for (const name of [NAME, `${NAME}1`, `${NAME}2`]) expect(message).toContain(JSON.stringify(name));
  });

  it('of a key without a handler', async () => {
    const logger = recordingLogger();
    const queue = new MemoryBackend({ name: NAME, logger });
    queue
      .deliveries()
      .pipe(handle(route({ known: () => {} }), { logger, retry: { count: 0 } }))
      .subscribe();
    await queue.publish(NAME, {});
    await queue.join();
    expect(logger.errors).toEqual([expect.stringContaining(`key ${ESCAPED}`)]);
  });

  it('of a closed fake', async () => {
    const queue = fakeBackend([], { name: NAME });
    await queue.close();
    expect(await messageOf(queue.publish('key', {}))).toContain(ESCAPED);
  });
});
