import { headers as createHeaders } from '@nats-io/transport-node';
import { eventually } from '../support/eventually.js';
import { NatsSuite } from '../support/nats-suite.js';
import { describeWithNatsSince } from '../support/servers/describe-with.js';

/**
 * Why the queue does not use schedules: see docs/decisions/0016-the-mover-stays-on-nats.md. When a
 * test fails, the server has changed, and the decision is open again.
 */
describeWithNatsSince([2, 12], 'A schedule of the server', () => {
  const suite = new NatsSuite();

  beforeEach(async () => {
    const { stream, messages } = suite.names;
    // A new stream per test: the server looks for due messages 250 ms after the first schedule.
    await (await suite.manager()).streams.add({ name: stream, subjects: [messages], allow_msg_schedules: true });
  });

  const subjectOf = (name: string) => `${suite.names.stream}.${name}`;

  async function schedule(name: string, at: Date): Promise<void> {
    const headers = createHeaders();
    headers.set('Nats-Msg-Id', name);
    headers.set('Nats-Schedule', `@at ${at.toISOString()}`);
    headers.set('Nats-Schedule-Target', subjectOf('due'));
    await suite.add(subjectOf(name), name, { headers });
  }

  /** Resolves to the messages of the schedules when there are so many. */
  async function due(count: number) {
    const stored = async () => (await suite.stored()).filter(({ subject }) => subject === subjectOf('due'));
    await eventually(async () => (await stored()).length === count);
    return stored();
  }

  it('arrives behind an earlier one that is due later', async () => {
    const now = Date.now();
    await schedule('due-last', new Date(now + 200));
    await schedule('due-first', new Date(now + 100));
    expect((await due(2)).map((message) => message.string())).toEqual(['due-last', 'due-first']);
  });

  it('loses the id by which the server deduplicates', async () => {
    await schedule('with-id', new Date());
    const [message] = await due(1);
    expect(message?.string()).toBe('with-id');
    expect(message?.header.has('Nats-Msg-Id')).toBe(false);
  });

  it('is due immediately if its time is after the year 2262', async () => {
    await schedule('later', new Date('2263-01-01'));
    expect(await due(1)).toHaveLength(1);
  });
});
