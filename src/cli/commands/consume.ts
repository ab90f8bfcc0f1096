import type { Delivery } from 'sluice';
import { confirmed } from '../confirmed.js';
import { CommandError, untilInterrupted, usageError } from '../failures.js';
import { Intake } from '../intake.js';
import type { AnyQueue } from '../open-queue.js';
import { duration, wholeNumber } from '../options.js';
import type { Program, Run } from '../program.js';
import type { Shell } from '../shell.js';
import { counted } from '../text.js';
import { jsonOf, lineOf } from '../views.js';

/** How many messages `--release` holds at most. */
const MOST_HELD = 10_000;

/** How many messages `--ack` has in flight. */
const PREFETCH = 64;

const NOTES = `
Without --ack, the messages stay in flight while the command runs, so that each is shown once, and
are released at its end. At most 10,000 are shown then. NATS and RabbitMQ count a delivery that was
released here in "attempt".

With --ack, a message is acknowledged once its line is written. With --limit, no more than that many
are taken, except on RabbitMQ, which may deliver some of the next and take them back.`;

interface Request {
  readonly group: string;
  readonly limit: number;
  /** How long to wait for the next message, in milliseconds. */
  readonly wait: number | undefined;
}

export function addConsume(program: Program, run: Run): void {
  program
    .command('consume')
    .summary('show the messages of a group as they come')
    .description(
      'Shows the messages of a group as they come, until Ctrl-C. Releases them at the end, or acknowledges them.',
    )
    .option('--group <group>', 'the group to consume for (default: "default", or the only one)')
    .option('--limit <n>', 'end after n messages', wholeNumber)
    .option('--wait <duration>', 'end if no message comes within this time, such as 5s', duration)
    .option('--ack', 'acknowledge each message that was shown')
    .option('--release', 'release the messages at the end (default)')
    .addHelpText('after', NOTES)
    .action(({ group: given, limit = Number.POSITIVE_INFINITY, wait, ack, release }) =>
      run(async (shell, queues) => {
        if (ack && release) throw usageError('Expected either --ack or --release, got both');
        return untilInterrupted(async () => {
          const found = await queues.find();
          const group = found.groupFor(given);
          const queue = await found.serve([group]);
          // The stream of a queue that cannot be reached would wait.
          await queues.call(queue, queue.stats({ group }));
          shell.showLogs([group]);
          const request = { group, limit, wait };
          await (ack ? showAndAck(shell, queue, request) : showAndRelease(shell, queue, request));
        });
      }),
    );
}

function show(shell: Shell, delivery: Delivery): Promise<boolean> {
  return shell.json ? shell.writeJson(jsonOf(delivery)) : shell.writeLines([lineOf(delivery)]);
}

/** Acknowledges each message once its line is written. */
async function showAndAck(shell: Shell, queue: AnyQueue, { group, limit, wait }: Request): Promise<void> {
  const prefetch = Math.min(limit, PREFETCH);
  const intake = new Intake(queue, { group, prefetch, signal: shell.signal, wait });
  const shown: Delivery[] = [];
  const settlements = new Set<Promise<unknown>>();
  let count = 0;
  let late = 0;
  const ack = (delivery: Delivery) => {
    const settled = delivery.ack().then((counted) => {
      if (!counted) late++;
      settlements.delete(settled);
    });
    settlements.add(settled);
  };
  try {
    for await (const delivery of intake) {
      if (!(await show(shell, delivery))) {
        settlements.add(delivery.release());
        break;
      }
      // Each ack lets one more message come, so that the last acks wait for the end.
      if (count < limit - prefetch) ack(delivery);
      else shown.push(delivery);
      if (++count >= limit) break;
    }
    const stopped = intake.stop();
    shown.forEach(ack);
    await confirmed(Promise.all([stopped, ...settlements]));
  } finally {
    intake.close();
  }
  if (late > 0)
    throw new CommandError(`${counted(late, 'message')} may come again: the lease had ended before the ack`);
}

/** Holds the messages until the end, so that each is shown once. */
async function showAndRelease(shell: Shell, queue: AnyQueue, { group, limit, wait }: Request): Promise<void> {
  const most = Math.min(limit, MOST_HELD);
  const intake = new Intake(queue, { group, prefetch: most, signal: shell.signal, wait });
  const held: Delivery[] = [];
  try {
    for await (const delivery of intake) {
      held.push(delivery);
      if (!(await show(shell, delivery)) || held.length >= most) break;
    }
    await confirmed(Promise.all([intake.stop(), ...held.map((delivery) => delivery.release())]));
  } finally {
    intake.close();
  }
  if (held.length < limit && held.length === MOST_HELD)
    shell.note(
      `Released ${counted(held.length, 'message')}, the most that can be held. --limit takes fewer, --ack goes on.`,
    );
}
