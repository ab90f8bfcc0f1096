import { handle, type Outcome, type QueueBackend } from 'sluice';
import { eventually } from './eventually.js';
import { type RecordingLogger, recordingLogger } from './recording-logger.js';

/** JSON that other programs may store but `publish` refuses: a payload, and maybe headers. */
export interface Undeliverable {
  readonly payload: string;
  readonly headers?: string;
}

const DEPTH = 1001;

export const UNDELIVERABLE: readonly Undeliverable[] = [
  { payload: '{"n":1e999}' },
  { payload: `${'{"n":'.repeat(DEPTH)}1${'}'.repeat(DEPTH)}` },
  { payload: '{"n":1}', headers: '{"half":"\\ud800"}' },
];

/** The key of the messages that the handler processes successfully. */
export const GOOD = 'good';

/** Handles all messages of a queue with a prefetch of 2. Fails for every key except `good`. */
export async function giveUpAll(
  queue: QueueBackend,
  deadLetter: QueueBackend,
): Promise<{ outcomes: Outcome[]; logger: RecordingLogger }> {
  const logger = recordingLogger();
  const outcomes: Outcome[] = [];
  const fail = ({ key }: { key: string }) => {
    if (key !== GOOD) throw new Error('boom');
  };
  const options = {
    retry: { count: 0 },
    deadLetter,
    logger,
    onOutcome: (outcome: Outcome) => void outcomes.push(outcome),
  };
  const subscription = queue.deliveries({ prefetch: 2 }).pipe(handle(fail, options)).subscribe();
  await eventually(
    async () => (await queue.stats()).unfinished === 0 && outcomes.length > 0,
    () => [outcomes.map(({ status }) => status), logger],
  );
  subscription.unsubscribe();
  return { outcomes, logger };
}

/** Returns the statuses of the messages with the key `good`, and of all others. */
export function statusesOf(outcomes: readonly Outcome[]): { good: string[]; others: string[] } {
  const of = (good: boolean) =>
    outcomes.filter(({ delivery }) => (delivery.key === GOOD) === good).map(({ status }) => status);
  return { good: of(true), others: of(false) };
}

/**
 * Checks the log of `handle` for each message that could not be dead-lettered: its id and key, the
 * cause and the consequence.
 */
export function expectToldOf(outcomes: readonly Outcome[], { errors }: RecordingLogger): void {
  for (const { delivery } of outcomes.filter(({ status }) => status === 'rejected')) {
    const told = errors.filter((error) => error.includes(`delivery ${delivery.id} ("${delivery.key}")`));
    expect(told).toEqual([
      expect.stringMatching(
        /^A message cannot be dead-lettered: .*InvalidMessageError: Expected .*; it is quarantined$/,
      ),
    ]);
  }
}
