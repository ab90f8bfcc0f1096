import { NEVER } from 'rxjs';
import { addReplay } from '../../src/cli/commands/replay.js';
import { confirmed } from '../../src/cli/confirmed.js';
import type { AnyQueue, Queues } from '../../src/cli/open-queue.js';
import { emptyProgram } from '../../src/cli/program.js';
import type { Shell } from '../../src/cli/shell.js';
import { failureOf } from '../support/promises.js';

/** Runs `sluice replay orders.failed` on a queue. Resolves to what it writes. */
async function replay(queue: Pick<AnyQueue, 'stats' | 'deliveries'>): Promise<unknown[]> {
  const written: unknown[] = [];
  const shell = {
    signal: new AbortController().signal,
    json: true,
    stderr: { isTerminal: false },
    showLogs: () => {},
    result: async (value: unknown) => written.push(value),
  };
  const queues = {
    find: async () => ({ groupFor: () => 'default', serve: async () => queue }),
    call: (_: unknown, call: unknown) => call,
  };
  const program = emptyProgram('1.0.0').exitOverride();
  addReplay(program, async (body) => void (await body(shell as unknown as Shell, queues as unknown as Queues)));
  await program.parseAsync(['node', 'sluice', 'replay', 'orders.failed']);
  return written;
}

describe('The end of a command', () => {
  beforeEach(() => {
    jest.useFakeTimers({ doNotFake: ['nextTick', 'queueMicrotask'] });
  });

  afterEach(() => {
    jest.useRealTimers();
  });

  it('fails if fewer letters come than were counted: another consumer has them', async () => {
    const stats = async () => ({ ready: 5, unfinished: 5 });
    const ended = failureOf(replay({ stats, deliveries: () => NEVER as never }));
    await jest.advanceTimersByTimeAsync(3000);
    expect((await ended).message).toBe('Looked at 0 of 5 letters only: no other came. Another process may have them');
  });

  it('is reached at once if there is no letter', async () => {
    const stats = async () => ({ ready: 0, unfinished: 0 });
    expect(await replay({ stats, deliveries: () => NEVER as never })).toEqual([{ replayed: 0 }]);
  });

  it('waits for the last settlements, as long as the server answers', async () => {
    let settle!: () => void;
    const end = confirmed(
      new Promise<void>((resolve) => {
        settle = resolve;
      }),
    );
    await jest.advanceTimersByTimeAsync(14_999);
    settle();
    await end;
    expect(jest.getTimerCount()).toBe(0);
  });

  it('comes also if the server does not answer', async () => {
    const end = failureOf(confirmed(new Promise(() => {})));
    await jest.advanceTimersByTimeAsync(15_000);
    expect((await end).message).toMatch(/^The server has not answered for 15 s/);
  });

  it('fails with the error of a settlement', async () => {
    expect((await failureOf(confirmed(Promise.reject(new Error('Lost'))))).message).toBe('Lost');
  });
});
