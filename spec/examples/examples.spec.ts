import { Program } from '../support/run-example.js';

describe('the examples', () => {
  it('quickstart sends the whole catalogue through the queue and leaves nothing unfinished', async () => {
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

  it('the pipeline passes its marble tests', async () => {
    const program = new Program('examples/pipeline-under-test.ts');
    expect(await program.exited()).toBe(0);
    expect(program.output).toBe('2 marble tests passed\n');
  });

  it('the service stops on SIGINT, finishes what it does and exits by itself', async () => {
    const program = new Program('examples/service.ts');
    await program.printed('orders.created 3 (attempt 1)');
    program.interrupt();
    expect(await program.exited()).toBe(0);
    const done = program.output.match(/^orders\.created/gm)?.length;
    expect(program.output).toContain(`stopped: ${done} orders done, 10 still waiting, 0 unfinished`);
  });
});
