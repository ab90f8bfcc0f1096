import { lastValueFrom } from 'rxjs';
import {
  AsyncLoopConsumer,
  type Delivery,
  type HandleOptions,
  handle,
  InvalidMessageError,
  MemoryBackend,
  type Outcome,
  type QueueBackend,
  SluiceError,
  UnrecoverableError,
} from 'sluice';
import { type ValidatedOptions, validated } from 'sluice/schema';
import { z } from 'zod';
import { eventually } from '../support/eventually.js';
import { recordingLogger, silentLogger } from '../support/recording-logger.js';
import { schemaOf } from '../support/schemas.js';
import { VirtualClock } from '../support/virtual-clock.js';

const schemas = { order: z.object({ id: z.number() }) };
const INVALID = { id: 'hunter2' };
const HEADERS = {
  'sluice-error': 'InvalidMessageError: Expected `payload.id` to be a number, got a string',
  'sluice-attempts': '1',
  'sluice-queue': 'memory',
  'sluice-group': 'default',
};

async function queueWith(...payloads: object[]): Promise<MemoryBackend> {
  const queue = new MemoryBackend({ name: 'memory' });
  for (const payload of payloads) await queue.publish('order', payload);
  return queue;
}

/** Handles all messages of a queue, and returns the outcomes and the log. */
async function handled(memory: MemoryBackend, options: ValidatedOptions, handleOptions?: HandleOptions<never>) {
  const outcomes: Outcome[] = [];
  const logger = recordingLogger();
  const ids: number[] = [];
  await memory.close();
  const done = validated(memory, schemas, { logger, ...options })
    .deliveries()
    .pipe(
      handle(({ payload }) => void ids.push((payload as { id: number }).id), {
        logger,
        ...(handleOptions as HandleOptions),
        onOutcome: (outcome) => void outcomes.push(outcome as Outcome),
      }),
    );
  await lastValueFrom(done, { defaultValue: undefined });
  return { ids, logger, outcomes };
}

describe('An invalid message', () => {
  it('goes to `deadLetter` of the validated queue, as it was stored, before any handler', async () => {
    const memory = await queueWith(INVALID, { id: 2 });
    const deadLetter = new MemoryBackend();
    const { ids, logger, outcomes } = await handled(memory, { deadLetter });
    expect([ids, logger.errors, outcomes.map(({ status }) => status)]).toEqual([[2], [], ['acked']]);
    const [letter, ...others] = await deadLetter.peek();
    expect(others).toEqual([]);
    expect(letter).toMatchObject({ key: 'order', payload: INVALID, headers: HEADERS });
    expect(memory.unfinished).toBe(0);
  });

  it('keeps its other headers, and names its group', async () => {
    const memory = new MemoryBackend({ name: 'memory', groups: ['audit'] });
    const deadLetter = new MemoryBackend();
    await memory.publish('order', INVALID, { headers: { trace: '1', 'sluice-error': 'old' } });
    validated(memory, schemas, { deadLetter }).deliveries({ group: 'audit' }).subscribe();
    const [letter] = await deadLetter.peek();
    expect(letter?.headers).toEqual({ ...HEADERS, trace: '1', 'sluice-group': 'audit' });
  });

  it('goes to the `deadLetter` of the consumer otherwise, without a retry', async () => {
    const deadLetter = new MemoryBackend();
    const { ids, outcomes } = await handled(await queueWith(INVALID, { id: 2 }), {}, { deadLetter });
    expect([ids, outcomes.map(({ status }) => status).sort()]).toEqual([[2], ['acked', 'dead-lettered']]);
    expect(await deadLetter.peek()).toMatchObject([
      {
        payload: INVALID,
        headers: {
          ...HEADERS,
          'sluice-error':
            'UnrecoverableError: The message with key "order" is invalid: Expected `payload.id` to be a number, got a string',
        },
      },
    ]);
  });

  it('is rejected and logged if there is none', async () => {
    const { ids, logger, outcomes } = await handled(await queueWith(INVALID, { id: 2 }), {});
    expect(ids).toEqual([2]);
    const rejected = outcomes.find(({ status }) => status === 'rejected');
    expect(rejected?.error).toBeInstanceOf(UnrecoverableError);
    expect(rejected?.error).toMatchObject({ cause: { name: 'InvalidMessageError', path: 'payload.id' } });
    expect(logger.errors).toEqual([expect.stringContaining('Expected `payload.id` to be a number, got a string')]);
  });

  it('is given up by AsyncLoopConsumer, too', async () => {
    const memory = await queueWith(INVALID, { id: 2 });
    await memory.close();
    const ids: number[] = [];
    const deadLetter = new MemoryBackend();
    const consumer = new AsyncLoopConsumer(validated(memory, schemas), {
      deadLetter,
      orderBy: 'key',
      logger: silentLogger,
    });
    await consumer.run(({ id }) => void ids.push(id));
    expect([ids, deadLetter.size]).toEqual([[2], 1]);
  });

  it('is rejected and logged for any other consumer', async () => {
    const error = jest.spyOn(console, 'error').mockImplementation(() => {});
    try {
      const memory = await queueWith(INVALID, { id: 2 });
      await memory.close();
      const ids: number[] = [];
      for await (const { id } of validated(memory, schemas).consume()) ids.push(id);
      expect([ids, memory.unfinished]).toEqual([[2], 0]);
      expect(error.mock.calls).toEqual([
        [expect.stringContaining('Expected `payload.id` to be a number, got a string')],
      ]);
    } finally {
      error.mockRestore();
    }
  });

  it('goes to a function, which may settle it', async () => {
    const taken: unknown[] = [];
    const deadLetter = async (delivery: Delivery, { issues }: InvalidMessageError) => {
      taken.push([delivery.payload, issues]);
      if (taken.length === 1) await delivery.reject();
    };
    const { ids, logger } = await handled(await queueWith(INVALID, INVALID, { id: 2 }), { deadLetter });
    const issues = [{ path: 'payload.id', message: 'must be a number, got a string' }];
    expect([ids, taken, logger.warnings]).toEqual([
      [2],
      [
        [INVALID, issues],
        [INVALID, issues],
      ],
      [],
    ]);
  });

  it('does not hold up others while its dead letter is published', async () => {
    const memory = await queueWith(INVALID, { id: 2 });
    const ids: number[] = [];
    let confirm = () => {};
    const publish = () => new Promise<void>((resolve) => (confirm = resolve));
    const queue = validated(memory, schemas, { deadLetter: { publish } });
    queue.deliveries({ prefetch: 2 }).subscribe((delivery) => {
      ids.push(delivery.payload.id);
      void delivery.ack();
    });
    expect([ids, memory.unfinished]).toEqual([[2], 1]);
    confirm();
    await queue.join();
  });

  it('stays in the queue while its dead letter fails', async () => {
    const clock = new VirtualClock();
    const memory = new MemoryBackend({ scheduler: clock.scheduler, name: 'memory' });
    const letters: unknown[] = [];
    const publish = async (...letter: unknown[]) => {
      if (letters.push(letter) < 3) throw new Error('no server');
    };
    const logger = recordingLogger();
    const seen: Delivery[] = [];
    const queue = validated(memory, schemas, { deadLetter: { publish } as Pick<QueueBackend, 'publish'>, logger });
    queue.deliveries().subscribe((delivery) => seen.push(delivery));
    await memory.publish('order', INVALID);
    for (let round = 0; round < 2; round++) {
      await new Promise(setImmediate);
      expect([letters.length, memory.unfinished, logger.errors.length]).toEqual([round + 1, 1, round + 1]);
      clock.advance(60_000);
    }
    await new Promise(setImmediate);
    expect([letters.length, memory.unfinished, seen.length]).toEqual([3, 0, 0]);
    expect(logger.errors[0]).toMatch(
      /^A dead letter could not be delivered: delivery .* \("order"\) from queue "memory", attempt 1: Error: no server; it stays in the queue, next try in \d+ ms$/,
    );
  });

  it('is quarantined if the dead-letter queue refuses it as invalid', async () => {
    const refusal = new InvalidMessageError('payload.n', 'a finite number', 'Infinity');
    const letters: (string | undefined)[] = [];
    const publish: QueueBackend['publish'] = async (_key, _payload, options) => {
      letters.push(options?.headers?.['sluice-queue']);
      throw refusal;
    };
    const memory = await queueWith(INVALID);
    const logger = recordingLogger();
    const queue = validated(memory, schemas, { deadLetter: { publish }, logger });
    queue.deliveries().subscribe();
    await eventually(() => memory.unfinished === 0);
    expect(letters).toEqual(['memory', 'memory', undefined]);
    expect(logger.errors).toEqual([expect.stringMatching(/^A message cannot be dead-lettered: .*; it is rejected$/)]);
  });

  it('is redelivered if its consumer leaves before its dead letter is confirmed', async () => {
    const memory = await queueWith(INVALID);
    let confirm = () => {};
    const publish = () => new Promise<void>((resolve) => (confirm = resolve));
    const subscription = validated(memory, schemas, { deadLetter: { publish } }).deliveries().subscribe();
    subscription.unsubscribe();
    confirm();
    await new Promise(setImmediate);
    expect([memory.size, memory.unfinished]).toEqual([1, 1]);
  });
});

describe('A schema that fails on delivery', () => {
  const failing = (times: number) => {
    let calls = 0;
    return schemaOf((value) => {
      if (calls++ < times) throw new Error('hunter2');
      return { value };
    });
  };

  it('fails the attempt, which is retried', async () => {
    const clock = new VirtualClock();
    const memory = new MemoryBackend({ scheduler: clock.scheduler });
    const outcomes: Outcome[] = [];
    const logger = recordingLogger();
    validated(
      memory,
      { order: failing(2) },
      {
        deadLetter: () => {
          throw new Error('It is not invalid');
        },
      },
    )
      .deliveries()
      .pipe(
        handle(() => {}, {
          scheduler: clock.scheduler,
          logger,
          onOutcome: (outcome) => void outcomes.push(outcome as Outcome),
        }),
      )
      .subscribe();
    void memory.publish('order', {});
    for (let round = 0; round < 3; round++) {
      await new Promise(setImmediate);
      clock.advance(60_000);
    }
    expect(outcomes.map(({ status }) => status)).toEqual(['retried', 'retried', 'acked']);
    const [first] = outcomes;
    expect(SluiceError.is(first?.error)).toBe(true);
    expect(first?.error).toMatchObject({ message: 'The schema of key "order" failed: it threw an error' });
    expect(logger.warnings.concat(logger.errors).join()).not.toContain('hunter2');
  });

  it('is asked again when the attempt is retried in place', async () => {
    const memory = await queueWith({ id: 1 }, { id: 2 });
    await memory.close();
    const ids: number[] = [];
    const retry = { count: 1, delay: 0 };
    const work = handle<Delivery, void>(({ payload }) => void ids.push((payload as { id: number }).id), {
      orderBy: 'key',
      retry,
      logger: silentLogger,
    });
    await lastValueFrom(
      validated(memory, { order: failing(1) })
        .deliveries()
        .pipe(work),
      { defaultValue: undefined },
    );
    expect([ids, memory.unfinished]).toEqual([[1, 2], 0]);
  });

  it('leaves the message in the queue for any other consumer', async () => {
    const error = jest.spyOn(console, 'error').mockImplementation(() => {});
    try {
      const clock = new VirtualClock();
      const memory = new MemoryBackend({ scheduler: clock.scheduler });
      const seen: Delivery[] = [];
      validated(memory, { order: failing(1) })
        .deliveries()
        .subscribe((delivery) => seen.push(delivery));
      void memory.publish('order', { id: 1 });
      expect([seen.length, memory.unfinished]).toEqual([0, 1]);
      clock.advance(60_000);
      expect(seen.map(({ attempt, payload }) => [attempt, payload])).toEqual([[2, { id: 1 }]]);
      expect(error.mock.calls.join()).not.toContain('hunter2');
    } finally {
      error.mockRestore();
    }
  });
});
