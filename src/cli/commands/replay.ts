import { createHash } from 'node:crypto';
import type { Delivery } from 'sluice';
import { confirmed } from '../confirmed.js';
import { CommandError, Interrupted, oneLine } from '../failures.js';
import { Intake } from '../intake.js';
import type { AnyQueue, Queues } from '../open-queue.js';
import { duration, wholeNumber } from '../options.js';
import type { Program, Run } from '../program.js';
import { Progress } from '../progress.js';
import type { Shell } from '../shell.js';
import { count, counted } from '../text.js';

/** How many letters are held at most while the others are looked at. */
const MOST_HELD = 10_000;

/** How many letters are published at once. */
const WINDOW = 100;

/** How long to wait for a letter that was counted, in milliseconds: another consumer may have it. */
const PATIENCE = 3000;

const NOTES = `
Each letter goes to the group that has given it up only, and is acknowledged when its copy is
confirmed. The copy has an id that is made of the letter's id and of FROM, so that a letter that is
replayed twice within the dedupe window is stored once. Letters that fail again while the command runs are not replayed
again.

Example:
  sluice replay orders.failed --error ECONNREFUSED --older-than 10m --dry-run`;

interface Filter {
  readonly key?: string | undefined;
  readonly error?: string | undefined;
  readonly olderThan?: number | undefined;
  readonly newerThan?: number | undefined;
}

export function addReplay(program: Program, run: Run): void {
  program
    .command('replay')
    .summary('move dead letters back to where they came from')
    .description('Moves dead letters from queue FROM to queue TO, or to the queue that each came from.')
    .argument('<from>', 'the queue with the dead letters')
    .argument('[to]', 'the queue to publish them to (default: the header "sluice-queue" of each letter)')
    .option('--group <group>', 'the group of queue FROM that takes the letters (default: "default", or the only one)')
    .option('--key <key>', 'only letters with this key')
    .option('--error <text>', 'only letters whose error contains this text')
    .option('--older-than <duration>', 'only letters that were published longer ago, such as 2h', duration)
    .option('--newer-than <duration>', 'only letters that were published since then, such as 2h', duration)
    .option('--limit <n>', 'replay at most n letters', wholeNumber)
    .option('--dry-run', 'show what would be replayed, and replay nothing')
    .addHelpText('after', NOTES)
    .action((from, to, { group: given, limit = Number.POSITIVE_INFINITY, dryRun = false, ...filter }) =>
      run(async (shell, queues) => {
        const found = await queues.find({ name: from });
        const group = found.groupFor(given);
        const queue = await found.serve([group]);
        shell.showLogs([group]);
        const isFiltered = Object.values(filter).some((value) => value !== undefined);
        const matches = matcher(filter);
        const replay = new Replay(shell, queues, { queue, group, to, limit, dryRun, isFiltered, matches });
        await replay.run();
        return undefined;
      }),
    );
}

function matcher({ key, error, olderThan, newerThan }: Filter): (letter: Delivery) => boolean {
  const now = Date.now();
  return (letter) =>
    (key === undefined || letter.key === key) &&
    (error === undefined || letter.headers['sluice-error']?.includes(error) === true) &&
    (olderThan === undefined || letter.publishedAt <= now - olderThan) &&
    (newerThan === undefined || letter.publishedAt >= now - newerThan);
}

interface ReplayOptions {
  readonly queue: AnyQueue;
  readonly group: string;
  readonly to: string | undefined;
  readonly limit: number;
  readonly dryRun: boolean;
  readonly isFiltered: boolean;
  readonly matches: (letter: Delivery) => boolean;
}

/** One run over the letters that were there at its beginning. */
class Replay {
  readonly #shell: Shell;
  readonly #queues: Queues;
  readonly #options: ReplayOptions;
  readonly #targets = new Map<string, Promise<AnyQueue>>();
  readonly #running = new Set<Promise<void>>();
  readonly #progress: Progress;
  readonly #kept: Delivery[] = [];
  #replayed = 0;
  #failed = 0;
  #firstFailure: string | undefined;
  /** Whether no letter can be published. */
  #isOver = false;

  constructor(shell: Shell, queues: Queues, options: ReplayOptions) {
    this.#shell = shell;
    this.#queues = queues;
    this.#options = options;
    this.#progress = new Progress(shell);
  }

  async run(): Promise<void> {
    const { queue, group, limit, dryRun, isFiltered, matches } = this.#options;
    const { signal } = this.#shell;
    const { ready } = await this.#queues.call(queue, queue.stats({ group }));
    // A letter that fails again meanwhile comes behind these, and is newer.
    const begin = Date.now();
    const wanted = isFiltered ? ready : Math.min(ready, limit);
    const prefetch = Math.max(1, Math.min(wanted, MOST_HELD + WINDOW));
    const intake = new Intake(queue, { group, prefetch, signal, wait: PATIENCE });
    const kept = this.#kept;
    let seen = 0;
    let matched = 0;
    try {
      if (ready > 0) {
        for await (const letter of intake) {
          seen++;
          if (letter.publishedAt > begin || !matches(letter)) kept.push(letter);
          else {
            matched++;
            if (!(await (dryRun ? this.#show(letter) : this.#start(letter)))) break;
          }
          if (seen >= ready || matched >= limit || kept.length >= MOST_HELD) break;
        }
      }
      await confirmed(this.#end(intake));
    } finally {
      intake.close();
      this.#progress.end();
    }
    await this.#report(matched);
    if (seen >= ready || matched >= limit || signal.aborted) return;
    const reason =
      kept.length >= MOST_HELD
        ? `${counted(MOST_HELD, 'letter')} that are not replayed are as many as can be held`
        : 'no other came. Another process may have them';
    throw new CommandError(`Looked at ${count(seen)} of ${counted(ready, 'letter')} only: ${reason}`);
  }

  /** Waits for the letters that are replayed now, and releases the others. */
  async #end(intake: Intake): Promise<void> {
    await Promise.all(this.#running);
    await Promise.all([intake.stop(), ...this.#kept.map((letter) => letter.release())]);
  }

  /** @throws {CommandError} (a rejection) unless every letter was replayed */
  async #report(matched: number): Promise<void> {
    const replayed = counted(this.#replayed, 'letter');
    if (!this.#options.dryRun) await this.#shell.result({ replayed: this.#replayed }, () => [`${replayed} replayed`]);
    else if (!this.#shell.json) await this.#shell.writeLines([`${counted(matched, 'letter')} would be replayed`]);
    if (this.#firstFailure !== undefined)
      throw new CommandError(`${this.#firstFailure} (${replayed} replayed, ${this.#failed} not)`);
    if (this.#shell.signal.aborted && !this.#options.dryRun) throw new Interrupted(`Interrupted: ${replayed} replayed`);
  }

  /** Replays a letter beside others. Resolves, when there is room for another, to whether to go on. */
  async #start(letter: Delivery): Promise<boolean> {
    const running: Promise<void> = this.#replay(letter)
      .catch((error: unknown) => this.#fail(letter, error))
      .finally(() => this.#running.delete(running));
    this.#running.add(running);
    if (this.#running.size >= WINDOW) await Promise.race(this.#running);
    return !this.#isOver;
  }

  /** A letter that cannot be replayed does not keep the others back, unless nothing can be published. */
  async #fail(letter: Delivery, error: unknown): Promise<void> {
    const { BackendUnavailableError } = await import('sluice');
    this.#kept.push(letter);
    this.#failed++;
    this.#firstFailure ??= `letter ${letter.id}: ${oneLine(error)}`;
    this.#isOver ||= BackendUnavailableError.is(error);
  }

  async #replay(letter: Delivery): Promise<void> {
    const { name, group } = this.#targetOf(letter);
    const headers = Object.fromEntries(
      Object.entries(letter.headers).filter(([header]) => !header.startsWith('sluice-')),
    );
    const target = await this.#open(name, group);
    await target.publish(letter.key, letter.payload, { headers, id: this.#idOf(letter), group });
    await letter.ack();
    this.#replayed++;
    this.#progress.show(() => `${counted(this.#replayed, 'letter')} replayed`);
  }

  /**
   * The id of the copy of a letter, by which it is stored once if it is replayed again. Not the id of
   * the letter alone: on Redis, two queues may have a message with the same id, and a copy that is
   * moved back has its old one.
   */
  #idOf({ id }: Delivery): string {
    const { queue } = this.#options;
    return createHash('sha256')
      .update(JSON.stringify([queue.name, id]))
      .digest('hex')
      .slice(0, 32);
  }

  /** Shows what would be replayed, and where to. Resolves to whether somebody reads it. */
  async #show(letter: Delivery): Promise<boolean> {
    this.#kept.push(letter);
    const { id, key, payload, headers, publishedAt } = letter;
    const { name, group } = this.#targetOf(letter);
    const error = headers['sluice-error'];
    if (this.#shell.json) return this.#shell.writeJson({ id, key, payload, headers, publishedAt, to: name, group });
    const where = group === undefined ? name : `${name}, group ${group}`;
    const line = `${key}  ${JSON.stringify(payload)}  → ${where}${error === undefined ? '' : `  (${error})`}`;
    return this.#shell.writeLines([line]);
  }

  /** @throws {CommandError} if nothing tells where the letter came from */
  #targetOf({ id, headers }: Delivery): { readonly name: string; readonly group: string | undefined } {
    const { 'sluice-queue': origin, 'sluice-group': group } = headers;
    const name = this.#options.to ?? origin;
    // Another queue has other groups.
    if (name !== undefined) return { name, group: name === origin ? group : undefined };
    throw new CommandError(`Message ${id} is not a dead letter: it has no header "sluice-queue". Name the queue TO.`);
  }

  /** Opens a queue for one of its groups, once. It must exist. */
  #open(name: string, group: string | undefined): Promise<AnyQueue> {
    const id = JSON.stringify([name, group]);
    let target = this.#targets.get(id);
    if (target === undefined) {
      const groups = group === undefined ? undefined : [group];
      target = this.#queues.load({ name, groups, create: false });
      this.#targets.set(id, target);
    }
    return target;
  }
}
