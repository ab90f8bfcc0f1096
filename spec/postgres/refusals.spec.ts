import { Holder } from '../support/consumers.js';
import { eventually } from '../support/eventually.js';
import { PostgresSuite } from '../support/postgres-suite.js';
import { failureOf } from '../support/promises.js';
import { recordingLogger } from '../support/recording-logger.js';
import { describeWithPostgres } from '../support/servers/describe-with.js';

/** Errors that end by themselves, or when somebody helps. */
const REFUSALS: [what: string, code: string][] = [
  ['its disk is full', '53100'],
  ['it has no memory', '53200'],
  ['a lock is not available', '55P03'],
  ['an administrator cancels queries', '57014'],
  ['it has an I/O error', '58030'],
  ['transactions conflict', '40001'],
  ['it is a standby', '25006'],
];

describeWithPostgres('PostgresBackend when the server refuses because', () => {
  const suite = new PostgresSuite();

  /** Lets every write of a message, or of its settlement, fail. Returns how to end this. */
  const refuse = async (code: string) => {
    await suite.run(`CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
      $$ BEGIN RAISE 'could not extend file' USING ERRCODE = TG_ARGV[0]; END $$`);
    for (const table of ['messages', 'claims', 'requeued'])
      await suite.run(`CREATE TRIGGER refuse BEFORE INSERT OR UPDATE OR DELETE ON sluice.${table}
        FOR EACH ROW EXECUTE FUNCTION refuse('${code}')`);
    const end = async () => {
      for (const table of ['messages', 'claims', 'requeued'])
        await suite.run(`DROP TRIGGER IF EXISTS refuse ON sluice.${table}`);
    };
    suite.ending(end);
    return end;
  };

  it.each(REFUSALS)('%s: publishes and settlements wait, and go on, and the log tells it once', async (_what, code) => {
    const logger = recordingLogger();
    const queue = suite.open({ logger, publishTimeout: 60_000 });
    for (const n of [1, 2]) await queue.publish('key', { n });
    const holder = new Holder(queue, { prefetch: 2 });
    await eventually(() => holder.deliveries.length === 2);
    const end = await refuse(code);
    const published = queue.publish('key', { n: 3 });
    const settled = [holder.of(1).ack(), holder.of(2).nack()];
    const refused = (what: string) => logger.warnings.filter((line) => line.includes(`refuses ${what}`));
    await eventually(() => refused('publishes').length > 0 && refused('requests').length > 0);
    expect(holder.error).toBeUndefined();
    await end();
    await published;
    expect(await Promise.all(settled)).toEqual([true, true]);
    await eventually(() => holder.deliveries.length === 4);
    expect(holder.attempts.slice(2).toSorted()).toEqual([
      [2, 2],
      [3, 1],
    ]);
    expect(await Promise.all(holder.held.map((delivery) => delivery.ack()))).toEqual([true, true]);
    expect(logger.warnings.filter((line) => line.includes('accepts'))).toHaveLength(2);
    expect([refused('publishes'), refused('requests')].map(({ length }) => length)).toEqual([1, 1]);
    expect(logger.errors).toEqual([]);
    expect(await suite.tables()).toEqual({ messages: 0, pending: 0, unplaced: 0 });
  });

  it('its disk is full: a publish that times out names the reason, and is stored once or never', async () => {
    const queue = suite.open({ publishTimeout: 500 });
    // A slow machine, or the backoff after the last refusal, can take the whole timeout.
    const isPublished = async (n: number) => {
      try {
        await queue.publish('key', { n }, { id: `${n}` });
        return true;
      } catch (error) {
        expect(error).toMatchObject({ retryable: true });
        return false;
      }
    };
    await eventually(() => isPublished(1));
    const end = await refuse('53100');
    await eventually(async () => {
      const error = await failureOf(queue.publish('key', { n: 2 }, { id: '2' }));
      expect(error).toMatchObject({ retryable: true, message: expect.stringContaining('within 500 ms') });
      return error.message.includes('could not extend file');
    });
    await end();
    await eventually(() => isPublished(3));
    const holder = new Holder(queue);
    await eventually(() => holder.numbers.includes(3));
    expect([
      [1, 3],
      [1, 2, 3],
    ]).toContainEqual(holder.numbers);
  });

  it('a statement of the queue is wrong: a publish fails at once', async () => {
    const queue = suite.open({ publishTimeout: 60_000 });
    await queue.publish('key', { n: 1 });
    await refuse('42P17');
    expect(await failureOf(queue.publish('key', { n: 2 }))).toMatchObject({ retryable: false });
  });
});
