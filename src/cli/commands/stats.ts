import { setTimeout as sleep } from 'node:timers/promises';
import { untilInterrupted } from '../failures.js';
import { groupLines } from '../group-table.js';
import { LiveView } from '../live-view.js';
import type { AnyQueue, ExistingQueue, Queues } from '../open-queue.js';
import { duration } from '../options.js';
import type { Program, Run } from '../program.js';
import { Samples } from '../samples.js';
import type { Shell } from '../shell.js';
import { statsFrame } from '../stats-frame.js';
import { count } from '../text.js';

const DEFAULT_INTERVAL = 1000;

/** A count may take a server long, for a long queue with several groups: it gets this many times as long to rest. */
const REST = 9;

const NOTES = `
--watch shows for each group: "change", by how many messages a second the unfinished ones grow or
shrink; "oldest", how long the oldest waiting message waits (not on RabbitMQ); and a sparkline of
the unfinished messages. Without a terminal, or with --json, it writes a line of JSON each time.`;

export function addStats(program: Program, run: Run): void {
  program
    .command('stats')
    .summary('count the messages of the queue and its groups')
    .description('Counts the messages of the queue and of each group, once or in a live view.')
    .option('--watch', 'count again and again, until Ctrl-C')
    .option('--interval <duration>', 'how often to count with --watch (default: 1s)', duration)
    .addHelpText('after', NOTES)
    .action(({ watch, interval = DEFAULT_INTERVAL }) =>
      run(async (shell, queues) => {
        const show = async () => {
          const found = await queues.find();
          const queue = await found.serve(found.groupNames);
          if (watch) await watchStats(shell, queues, found, queue, interval);
          else await showStats(shell, queues, found, queue);
        };
        await (watch ? untilInterrupted(show) : show());
        return undefined;
      }),
    );
}

async function showStats(shell: Shell, queues: Queues, found: ExistingQueue, queue: AnyQueue): Promise<void> {
  const { ready, unfinished } = await queues.call(queue, queue.stats());
  const { name, groups = [] } = found;
  await shell.result({ queue: name, ready, unfinished, groups }, () => [
    `queue ${name}: ${count(ready)} ready, ${count(unfinished)} unfinished`,
    ...(groups.length === 0 ? [] : ['', ...groupLines(groups)]),
  ]);
}

async function watchStats(
  shell: Shell,
  queues: Queues,
  found: ExistingQueue,
  queue: AnyQueue,
  interval: number,
): Promise<void> {
  const { signal } = shell;
  const samples = new Samples(queue, found.groupNames);
  const isLive = !shell.json && shell.env.TERM !== 'dumb';
  const view = isLive ? new LiveView(shell, (columns) => statsFrame(samples, columns)) : undefined;
  // A count waits while the queue is disconnected.
  const statuses = view === undefined ? undefined : queue.status$?.subscribe(() => view.draw());
  try {
    while (!signal.aborted) {
      const start = performance.now();
      await queues.call(queue, samples.take());
      const pause = Math.max(interval, (performance.now() - start) * REST);
      if (view !== undefined) view.draw();
      else if (!(await showSample(shell, samples))) break;
      await sleep(pause, undefined, { signal }).catch(() => {});
    }
  } finally {
    statuses?.unsubscribe();
    await view?.end();
  }
}

function showSample(shell: Shell, samples: Samples): Promise<boolean> {
  const { name: queue, status, last } = samples;
  const { time, total, groups } = last ?? { time: Date.now(), total: undefined, groups: [] };
  return shell.result({ time, queue, status, ...total, groups }, () => [
    `${new Date(time).toISOString()} ${queue} ${status}: ${count(total?.ready ?? 0)} ready, ${count(total?.unfinished ?? 0)} unfinished`,
  ]);
}
