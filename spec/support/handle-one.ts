import { lastValueFrom, toArray } from 'rxjs';
import { type Delivery, type HandleOptions, handle, intercept, type Outcome, type QueueInterceptor } from 'sluice';
import { fakeBackend } from 'sluice/testing';
import { turns } from './promises.js';
import { type RecordingLogger, recordingLogger } from './recording-logger.js';

export type ProcessMethod = NonNullable<QueueInterceptor['process']>;

export const process = (method: ProcessMethod): QueueInterceptor => ({ process: method });

interface Result {
  readonly values: unknown[];
  readonly outcomes: Outcome[];
  readonly settled: string[];
  readonly logger: RecordingLogger;
}

/** Handles one message of a fake to its end. */
export async function handleOne(
  interceptors: readonly QueueInterceptor[],
  handler: (delivery: Delivery, context: { signal: AbortSignal }) => unknown,
  options?: HandleOptions,
): Promise<Result> {
  const fake = fakeBackend([['key', { n: 1 }]]);
  const logger = recordingLogger();
  const outcomes: Outcome[] = [];
  const values = await lastValueFrom(
    intercept(fake, ...interceptors)
      .deliveries()
      .pipe(
        handle(handler, { retry: { count: 0 }, onOutcome: (outcome) => outcomes.push(outcome), logger, ...options }),
        toArray(),
      ),
  );
  await turns();
  return { values, outcomes, settled: fake.settlements.map(({ how }) => how), logger };
}
