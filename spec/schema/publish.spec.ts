import { inspect } from 'node:util';
import { type InvalidMessageError, MemoryBackend, QueueClosedError, SluiceError } from 'sluice';
import { validated } from 'sluice/schema';
import { z } from 'zod';
import { ORDER, orderSchemas, schemaOf } from '../support/schemas.js';

const failureOf = async (publish: Promise<void>) =>
  publish.then(
    () => undefined,
    (error: unknown) => error,
  );

describe.each(Object.entries(orderSchemas))('The publish of a validated queue, with %s', (_, schema) => {
  it('sends a valid payload as it is given', async () => {
    const queue = new MemoryBackend();
    await validated(queue, { order: schema }).publish('order', ORDER, { headers: { trace: '1' } });
    const [message] = await queue.peek();
    expect(message).toMatchObject({ key: 'order', payload: ORDER, headers: { trace: '1' } });
  });

  it('rejects an invalid payload, with the paths of all issues', async () => {
    const queue = new MemoryBackend();
    const invalid = { ...ORDER, id: 'one', items: [{ price: 5 }, { price: '6' }], at: undefined };
    const error = await failureOf(validated(queue, { order: schema }).publish('order', invalid as never));
    expect(error).toMatchObject({ name: 'InvalidMessageError', code: 'SLUICE_INVALID_MESSAGE' });
    const { issues } = error as InvalidMessageError;
    expect([...issues].sort((a, b) => a.path.localeCompare(b.path))).toEqual([
      { path: 'payload.at', message: 'must be a string, got nothing' },
      { path: 'payload.id', message: 'must be a number, got a string' },
      { path: 'payload.items[1].price', message: 'must be a number, got a string' },
    ]);
    for (const { path } of issues) expect(String(error)).toContain(`\`${path}\``);
    expect(queue.size).toBe(0);
  });

  it('refuses a payload that is no object, without showing it', async () => {
    const error = await failureOf(
      validated(new MemoryBackend(), { order: schema }).publish('order', 'hunter2' as never),
    );
    expect(error).toMatchObject({ path: 'payload', expected: 'a plain object', received: 'a string' });
  });

  it('publishes within the call, and returns the promise of the queue', () => {
    const queue = new MemoryBackend();
    const publish = jest.spyOn(queue, 'publish');
    const answer = validated(queue, { order: schema }).publish('order', ORDER);
    expect([answer === publish.mock.results[0]?.value, queue.size]).toEqual([true, 1]);
  });
});

describe('The publish of a validated queue', () => {
  const schemas = { 'orders.created': z.object({ id: z.number() }) };

  it.each(['orders.shipped', 'constructor', '__proto__', 'toString', ''])(
    'rejects a key without a schema: %j',
    async (key) => {
      const queue = new MemoryBackend();
      const error = await failureOf(validated(queue, schemas).publish(key as never, { id: 1 }));
      expect(error).toMatchObject({
        message: `Expected \`key\` to be a key with a schema, got ${JSON.stringify(key)}`,
        issues: [{ path: 'key', message: `must be a key with a schema, got ${JSON.stringify(key)}` }],
      });
      expect(queue.size).toBe(0);
    },
  );

  it("passes a key without a schema with `unknownKeys: 'pass'`", async () => {
    const queue = new MemoryBackend();
    const passing = validated(queue, schemas, { unknownKeys: 'pass' });
    await passing.publish('constructor', { any: 'thing' });
    await expect(passing.publish('orders.created', { id: 'x' } as never)).rejects.toMatchObject({ path: 'payload.id' });
    await expect(passing.publish('', {})).rejects.toMatchObject({ path: 'key' });
    expect(queue.size).toBe(1);
  });

  it('finds schemas under the names of inherited members', async () => {
    const given = JSON.parse('{ "__proto__": 1, "constructor": 1 }') as Record<string, unknown>;
    const each = Object.fromEntries(Object.keys(given).map((key) => [key, schemas['orders.created']]));
    const queue = validated(new MemoryBackend(), each);
    await queue.publish('__proto__', { id: 1 });
    await expect(queue.publish('constructor', { id: 'x' } as never)).rejects.toMatchObject({ path: 'payload.id' });
  });

  it('waits for an asynchronous schema', async () => {
    const queue = new MemoryBackend();
    const schema = z.object({ id: z.number().refine(async (id) => id < 10) });
    const checked = validated(queue, { order: schema });
    const answer = checked.publish('order', { id: 1 });
    expect(queue.size).toBe(0);
    await answer;
    expect(queue.size).toBe(1);
    await expect(checked.publish('order', { id: 10 })).rejects.toMatchObject({ path: 'payload.id' });
    expect(queue.size).toBe(1);
  });

  it.each([
    [
      'throws',
      () =>
        schemaOf(() => {
          throw new Error('hunter2');
        }),
    ],
    [
      'rejects',
      () =>
        schemaOf(async () => {
          throw new Error('hunter2');
        }),
    ],
  ])('fails if the schema %s, and enqueues nothing', async (_, schema) => {
    const queue = new MemoryBackend();
    const error = await failureOf(validated(queue, { order: schema() }).publish('order', {}));
    expect(error).toMatchObject({
      name: 'SluiceError',
      message: 'The schema of key "order" failed: it threw an error',
      cause: { name: 'Error', message: 'the text is left out, since it may quote the payload' },
    });
    expect(SluiceError.is(error)).toBe(true);
    expect(inspect(error)).toMatch(/publish\.spec\.ts/);
    expect(inspect(error)).not.toContain('hunter2');
    expect(queue.size).toBe(0);
  });

  it.each([
    [undefined, '`validate` returned undefined instead of a result'],
    ['hunter2', '`validate` returned a string instead of a result'],
    [{}, 'its output must be an object, got undefined'],
    [{ value: 'hunter2' }, 'its output must be an object, got a string'],
    [{ value: null }, 'its output must be an object, got null'],
    [{ value: ['hunter2'] }, 'its output must be an object, got an array'],
  ])('fails if the schema returns %j', async (result, problem) => {
    const queue = new MemoryBackend();
    const failing = validated(queue, { order: schemaOf(() => result) });
    await expect(failing.publish('order', {})).rejects.toThrow(`The schema of key "order" failed: ${problem}`);
    expect(queue.size).toBe(0);
  });

  it.each([[[]], [null], ['hunter2'], [[undefined]], [[{ path: 'hunter2' }]], [[{ path: [{}, null] }]]])(
    'rejects with an error that can be read, whatever the issues are: %j',
    async (issues) => {
      const failing = validated(new MemoryBackend(), { order: schemaOf(() => ({ issues })) });
      const error = (await failureOf(failing.publish('order', {}))) as InvalidMessageError;
      expect(error).toMatchObject({ name: 'InvalidMessageError', expected: 'valid for its schema' });
      expect(error.issues).toHaveLength(1);
      expect(String(error)).not.toContain('hunter2');
    },
  );

  it('names the path of a schema written by hand', async () => {
    const schema = schemaOf(() => ({ issues: [{ message: 'hunter2', path: ['items', { key: 3 }, 'unit price'] }] }));
    await expect(validated(new MemoryBackend(), { order: schema }).publish('order', {})).rejects.toMatchObject({
      path: 'payload.items[3]["unit price"]',
    });
  });

  it('limits how many issues it reports', async () => {
    const many = validated(new MemoryBackend(), { order: z.object({ items: z.array(z.number()) }) });
    const error = await failureOf(many.publish('order', { items: Array(1000).fill('x') } as never));
    expect((error as InvalidMessageError).issues).toHaveLength(20);
    expect((error as Error).message).toBe(
      'Expected `payload.items[0]` to be a number, got a string; also invalid: `payload.items[1]`, `payload.items[2]`, `payload.items[3]`, `payload.items[4]` and 15 more',
    );
  });

  it('keeps the errors of the queue', async () => {
    const queue = validated(new MemoryBackend({ validate: 'json' }), {
      order: z.object({ count: z.bigint() }),
      other: z.object({ count: z.number() }),
    });
    await expect(queue.publish('order', { count: 1n })).rejects.toMatchObject({ path: 'payload.count', issues: [] });
    await queue.close();
    await expect(queue.publish('other', { count: 1 })).rejects.toBeInstanceOf(QueueClosedError);
  });
});

describe('validated', () => {
  const queue = new MemoryBackend();
  const schemas = { order: z.object({}) };

  it.each([
    undefined,
    null,
    'schema',
    {},
    () => true,
    { '~standard': undefined },
    { '~standard': { version: 2, validate: () => ({}) } },
    { '~standard': { version: 1, validate: true } },
  ])('refuses what is no schema: %p', (schema) => {
    expect(() => validated(queue, { ...schemas, 'orders.created': schema as never })).toThrow(TypeError);
    expect(() => validated(queue, { ...schemas, 'orders.created': schema as never })).toThrow(
      'Expected `schemas["orders.created"]` to be a Standard Schema of version 1',
    );
  });

  it.each([undefined, null, 'schemas', [schemas], new Map(Object.entries(schemas))])(
    'refuses what is no map of schemas: %p',
    (given) => {
      expect(() => validated(queue, given as never)).toThrow('Expected `schemas` to be a plain object');
    },
  );

  it('refuses invalid options, and what is no queue', () => {
    const check = (options: unknown) => () => validated(queue, schemas, options as never);
    expect(check('pass')).toThrow(new TypeError('Expected `options` to be an object, got "pass"'));
    expect(check({ unknownKeys: 'ignore' })).toThrow(RangeError);
    expect(check({ unknownKeys: true })).toThrow(TypeError);
    expect(check({ deadLetter: {} })).toThrow('Expected `deadLetter` to be a queue or a function, got an object');
    expect(check({ logger: {} })).toThrow('Expected `logger` to be an object with a method `debug`');
    expect(() => validated({} as never, schemas)).toThrow('Expected `queue` to be an object with a method');
  });

  it('keeps every member of the queue', async () => {
    const memory = new MemoryBackend({ name: 'orders' });
    const checked = validated(memory, schemas);
    await checked.publish('order', {});
    expect([checked.name, checked.size, checked.unfinished, checked instanceof MemoryBackend]).toEqual([
      'orders',
      1,
      1,
      true,
    ]);
    checked.clear();
    await checked.join();
    await checked.close();
  });
});
