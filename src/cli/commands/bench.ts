import { randomBytes } from 'node:crypto';
import { Presets, SingleBar } from 'cli-progress';
import type { Delivery } from 'sluice';
import { CommandError, Interrupted } from '../failures.js';
import { Intake } from '../intake.js';
import type { AnyQueue, Queues } from '../open-queue.js';
import { wholeNumber } from '../options.js';
import type { Program, Run } from '../program.js';
import type { Shell } from '../shell.js';
import { tableLines } from '../table.js';
import { count } from '../text.js';

const DEFAULT_MESSAGES = 10_000;
const DEFAULT_SIZE = 100;

/** How many messages are published at once, and how many are in flight. */
const WINDOW = 500;

/** How many messages measure the latency: one at a time. */
const PINGS = 100;

/** How long to wait for a message, in milliseconds. */
const PATIENCE = 30_000;

const NOTES = `
It uses a queue "sluice-bench-…" of its own and deletes it at the end, also after Ctrl-C. Latency is
from the publish to the delivery of single messages to a waiting consumer.`;

interface Rates {
  /** Messages a second. */
  readonly publish: number;
  readonly consume: number;
  /** In milliseconds. */
  readonly latency: { readonly p50: number; readonly p99: number };
}

export function addBench(program: Program, run: Run): void {
  program
    .command('bench')
    .summary('measure how fast this engine publishes and consumes')
    .description('Measures how fast this engine publishes and consumes, from here.')
    .option('--messages <n>', 'how many messages', wholeNumber, DEFAULT_MESSAGES)
    .option('--size <bytes>', 'the size of a payload, in characters', wholeNumber, DEFAULT_SIZE)
    .addHelpText('after', NOTES)
    .action(({ messages, size }) =>
      run(async (shell, queues) => {
        const name = `sluice-bench-${randomBytes(6).toString('hex')}`;
        const queue = await queues.load({ name, create: true });
        shell.flushLogs();
        const created = queue.stats();
        let rates: Rates;
        try {
          await queues.call(queue, created);
          rates = await new Bench(shell, queues, queue, { messages, size }).run();
        } finally {
          // Also on Ctrl-C while the queue is being created. Nothing exists if that has failed.
          const exists = await created.then(
            () => true,
            () => false,
          );
          if (exists) await leaveNothing(queue);
        }
        const { publish, consume, latency } = rates;
        await shell.result({ messages, size, publish, consume, latency }, () =>
          tableLines(
            [
              { title: '' },
              { title: 'messages/s', isNumber: true },
              { title: 'p50', isNumber: true },
              { title: 'p99', isNumber: true },
            ],
            [
              ['publish', count(publish), '', ''],
              ['consume', count(consume), '', ''],
              ['latency', '', `${latency.p50.toFixed(2)} ms`, `${latency.p99.toFixed(2)} ms`],
            ],
          ),
        );
        return undefined;
      }),
    );
}

/** @throws {CommandError} (a rejection) if the backend cannot delete queues */
async function leaveNothing(queue: AnyQueue): Promise<void> {
  if (queue.deleteQueue === undefined)
    throw new CommandError(
      `This backend cannot delete queues. Delete queue ${JSON.stringify(queue.name)} by its own tools.`,
    );
  await queue.deleteQueue();
}

class Bench {
  readonly #shell: Shell;
  readonly #queues: Queues;
  readonly #queue: AnyQueue;
  readonly #messages: number;
  readonly #payload: object;

  constructor(
    shell: Shell,
    queues: Queues,
    queue: AnyQueue,
    { messages, size }: { readonly messages: number; readonly size: number },
  ) {
    this.#shell = shell;
    this.#queues = queues;
    this.#queue = queue;
    this.#messages = messages;
    this.#payload = { text: 'x'.repeat(size) };
  }

  /** @throws {Interrupted} (a rejection) on Ctrl-C */
  async run(): Promise<Rates> {
    const bar = createBar(this.#shell, this.#messages * 2 + PINGS);
    const tick = () => bar?.increment();
    try {
      const publish = await this.#rate(() => this.#publishAll(tick));
      const consume = await this.#rate(() => this.#consumeAll(tick));
      const latency = await this.#latency(tick);
      return { publish, consume, latency };
    } finally {
      bar?.stop();
    }
  }

  /** Resolves to how many messages a second the work does. */
  async #rate(work: () => Promise<void>): Promise<number> {
    const start = performance.now();
    await work();
    if (this.#shell.signal.aborted) throw new Interrupted();
    return Math.round((this.#messages * 1000) / (performance.now() - start));
  }

  async #publishAll(tick: () => void): Promise<void> {
    let left = this.#messages;
    const publisher = async () => {
      try {
        while (left-- > 0 && !this.#shell.signal.aborted) {
          await this.#queue.publish('bench', this.#payload);
          tick();
        }
      } catch (error) {
        left = 0;
        throw error;
      }
    };
    // All must have ended before the queue is deleted: a late publish would create it again.
    const ends = await Promise.allSettled(Array.from({ length: WINDOW }, publisher));
    for (const end of ends) if (end.status === 'rejected') throw end.reason;
  }

  async #consumeAll(tick: () => void): Promise<void> {
    const acks: Promise<boolean>[] = [];
    await this.#take(WINDOW, async (delivery) => {
      acks.push(delivery.ack());
      tick();
      return acks.length < this.#messages;
    });
    await this.#queues.call(this.#queue, Promise.all(acks));
  }

  async #latency(tick: () => void): Promise<Rates['latency']> {
    const times: number[] = [];
    let start = performance.now();
    const publish = () => {
      start = performance.now();
      return this.#queue.publish('bench', this.#payload);
    };
    await this.#queues.call(this.#queue, publish());
    await this.#take(1, async (delivery) => {
      times.push(performance.now() - start);
      tick();
      await this.#queues.call(this.#queue, delivery.ack());
      if (times.length > PINGS) return false;
      await this.#queues.call(this.#queue, publish());
      return true;
    });
    // The first one waited for the consumer to start.
    const sorted = times.slice(1).sort((one, other) => one - other);
    const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
    return { p50: at(0.5), p99: at(0.99) };
  }

  /** @param use resolves to whether to go on */
  async #take(prefetch: number, use: (delivery: Delivery) => Promise<boolean>): Promise<void> {
    const { signal } = this.#shell;
    const intake = new Intake(this.#queue, { group: 'default', prefetch, signal, wait: PATIENCE });
    try {
      for await (const delivery of intake) if (!(await use(delivery))) return;
    } finally {
      intake.close();
    }
    if (signal.aborted) throw new Interrupted();
    throw new CommandError(`No message has come for ${PATIENCE / 1000} s`);
  }
}

/** Undefined: stderr is no terminal. */
function createBar(shell: Shell, total: number): SingleBar | undefined {
  if (!shell.stderr.isTerminal) return undefined;
  const bar = new SingleBar(
    { format: '{bar} {percentage} %', stream: process.stderr, clearOnComplete: true },
    Presets.shades_classic,
  );
  bar.start(total, 0);
  return bar;
}
