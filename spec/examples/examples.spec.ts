import { readFileSync } from 'node:fs';
import path from 'node:path';
import { ROOT } from '../support/root.js';
import { Program } from '../support/run-example.js';

/** Joins the lines that a program prints. */
function lines(...texts: readonly string[]): string {
  return `${texts.join('\n')}\n`;
}

describe('Examples', () => {
  it('quickstart.ts sends the whole catalogue through the queue and leaves nothing unfinished', async () => {
    const program = new Program('examples/quickstart.ts');
    expect(await program.exited()).toBe(0);
    expect(program.output).toContain('1707 messages in');
    expect(program.output).toMatch(/earthquake\.strong\W+85\b/);
    expect(program.output).toMatch(/blast\W+28\b/);
    const shares =
      program.output
        .match(/by consumer: (.*)/)?.[1]
        ?.split(', ')
        .map(Number) ?? [];
    expect(shares).toHaveLength(4);
    expect(shares.reduce((sum, share) => sum + share)).toBe(1707);
    expect(program.output).toContain('highest number waiting: 64, of a capacity of 64');
    expect(program.output).toContain('unfinished: 0');
  });

  it('pipeline-under-test.ts passes its marble tests', async () => {
    const program = new Program('examples/pipeline-under-test.ts');
    expect(await program.exited()).toBe(0);
    expect(program.output).toBe('2 marble tests passed\n');
  });

  it('service.ts stops on SIGINT, finishes running handlers and exits', async () => {
    const program = new Program('examples/service.ts');
    await program.printed('orders.created 3 (attempt 1)');
    program.interrupt();
    expect(await program.exited()).toBe(0);
    const done = program.output.match(/^orders\.created/gm)?.length;
    expect(program.output).toContain(`stopped: ${done} orders done, 10 still waiting, 0 unfinished`);
  });

  describe('billing-service.ts', () => {
    it('bills every order except one and replays its dead letter', async () => {
      const program = new Program('examples/billing-service.ts');
      expect(await program.exited()).toBe(0);
      const [first = '', second = ''] = program.output.split('dead letter:');
      // Retries have random delays, so only the order within one order is certain.
      expect(first.match(/^order 1.*/gm)).toEqual(['order 1, attempt 1: acked']);
      expect(first.match(/^order 2.*/gm)).toEqual(['order 2, attempt 1: acked']);
      expect(first.match(/^order 3.*/gm)).toEqual([
        'order 3, attempt 1: retried, 503 Service Unavailable',
        'order 3, attempt 2: retried, 503 Service Unavailable',
        'order 3, attempt 3: acked',
      ]);
      expect(first.match(/^order 4.*/gm)).toEqual([
        'order 4, attempt 1: retried, The card has expired',
        'order 4, attempt 2: retried, The card has expired',
        'order 4, attempt 3: retried, The card has expired',
        'order 4, attempt 4: dead-lettered, The card has expired',
      ]);
      expect(first).toContain(
        lines(
          "outcomes: { acked: 3, retried: 5, 'dead-lettered': 1 }",
          "charged: { 'order-2': 1200, 'order-3': 3400 }",
          'stopped: 0 unfinished, 1 dead letters',
        ),
      );
      expect(second).toBe(
        lines(
          " orders.placed { order: 4, card: 'card-expired', cents: 5600 } {",
          "  trace: 'a1b2',",
          "  'sluice-error': 'Error: The card has expired',",
          "  'sluice-attempts': '4',",
          "  'sluice-queue': 'orders',",
          "  'sluice-group': 'billing'",
          '}',
          'order 4, attempt 1: acked',
          "charged: { 'order-2': 1200, 'order-3': 3400, 'order-4': 5600 }",
        ),
      );
    });

    it.each(['SIGINT', 'SIGTERM'] as const)(
      'stops on %s and leaves a message that waits for a retry in the queue',
      async (signal) => {
        const program = new Program('examples/billing-service.ts');
        await program.printed('order 4, attempt 1: retried');
        program.interrupt(signal);
        expect(await program.exited()).toBe(0);
        expect(program.output).toMatch(/^stopped: [12] unfinished, 0 dead letters$/m);
        expect(program.output).not.toContain('dead letter:');
      },
    );
  });

  it('ordered-accounts.ts keeps the bookings of each account in order, and a failing one delays only its own account', async () => {
    const program = new Program('examples/ordered-accounts.ts');
    expect(await program.exited()).toBe(0);
    expect(program.output).toBe(
      lines(
        'alice 1 failed on attempt 1',
        'bob 1',
        'carol 1',
        'dave 1',
        'bob 2',
        'carol 2',
        'dave 2',
        'bob 3',
        'carol 3',
        'dave 3',
        'alice 1 failed on attempt 2',
        'alice 1',
        'alice 2',
        'alice 3',
        'alice: booked 1, 2, 3, balance 0',
        'bob: booked 1, 2, 3, balance 0',
        'carol: booked 1, 2, 3, balance 0',
        'dave: booked 1, 2, 3, balance 0',
      ),
    );
  });

  it('batch-inserts.ts inserts readings in batches and retries a failed batch', async () => {
    const program = new Program('examples/batch-inserts.ts');
    expect(await program.exited()).toBe(0);
    expect(program.output).toBe(
      lines(
        'inserted 1 2 3 4 5',
        'failed   6 7 8 9 10: The connection is lost',
        'inserted 11 12 13 14 15',
        'inserted 16 17 18 19 20',
        'inserted 21 22 23 24 25',
        'inserted 26 27 28 29 30',
        'inserted 6 7 8 9 10',
        '30 readings published, 30 rows in the table, 0 unfinished',
      ),
    );
  });

  it('processing-under-test.ts passes its marble tests', async () => {
    const program = new Program('examples/processing-under-test.ts');
    expect(await program.exited()).toBe(0);
    expect(program.output).toBe('3 marble tests passed\n');
  });

  it('tracing.ts prints one trace from the request to the replay, as the guide shows it', async () => {
    const program = new Program('examples/tracing.ts');
    expect(await program.exited()).toBe(0);
    expect(program.output).toBe(
      lines(
        'POST /orders',
        '  publish orders',
        '    process orders, attempt 1: retried (The card has expired)',
        '      charge card',
        '    process orders, attempt 2: dead-lettered (The card has expired)',
        '      charge card',
        '    publish orders.failed',
        '      publish orders',
        '        process orders, attempt 1: acked',
        '          charge card',
      ),
    );
    expect(readFileSync(path.join(ROOT, 'docs/guides/observability.md'), 'utf8')).toContain(
      `\`\`\`text\n${program.output}\`\`\``,
    );
  });
});
