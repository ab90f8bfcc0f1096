import { inspect } from 'node:util';
import { lastValueFrom } from 'rxjs';
import { type Logger, MemoryBackend } from 'sluice';
import { validated } from 'sluice/schema';
import { z } from 'zod';

const SECRET = 'hunter2-correct-horse';
const PIN = 471_147_471_147n;

function expectSecret(told: unknown): void {
  const text = inspect(told, { depth: 10, showHidden: true });
  expect(text).not.toContain(SECRET);
  expect(text).not.toContain(String(PIN));
}

describe('A dead letter that its queue refuses', () => {
  const cycle: Record<string, unknown> = {};
  cycle[SECRET] = cycle;

  it.each<[string, object, string]>([
    ['a value', { pin: PIN }, 'Expected `payload[*]` to be a JSON value, got a bigint'],
    ['a number', { pin: Number.NaN }, 'Expected `payload[*]` to be a finite number, got a number'],
    ['a name', { [SECRET]: [0, PIN] }, 'Expected `payload[*][1]` to be a JSON value, got a bigint'],
    [
      'a class',
      { pin: { [`${SECRET}"]`]: new Date(0) } },
      'Expected `payload[*][*]` to be a JSON value, got an instance of Date',
    ],
    ['a cycle', { pin: cycle }, 'Expected `payload[*][*]` to be a tree, got a cycle'],
    [
      'a symbol',
      { pin: { [Symbol(SECRET)]: 1 } },
      'Expected `payload[*][*]` to be absent: JSON drops symbols, got nothing',
    ],
  ])('has a log line that shows nothing of the payload: %s', async (_name, payload, message) => {
    const lines: unknown[][] = [];
    const note = (...line: unknown[]): void => void lines.push(line);
    const logger: Logger = { debug: note, warn: note, error: note };
    const memory = new MemoryBackend();
    await memory.publish('order', payload);
    await memory.close();
    const schema = z.object({ missing: z.string() });
    const queue = validated(memory, { order: schema }, { deadLetter: new MemoryBackend({ validate: 'json' }), logger });
    await lastValueFrom(queue.deliveries(), { defaultValue: undefined });
    expect(lines).toEqual([[expect.stringContaining(`${message}; it is rejected`), expect.anything()]]);
    expectSecret(lines);
  });
});
