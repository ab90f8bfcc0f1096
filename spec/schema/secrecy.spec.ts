import { type } from 'arktype';
import fc from 'fast-check';
import { lastValueFrom } from 'rxjs';
import { handle, type InvalidMessageError, MemoryBackend, type Outcome } from 'sluice';
import { type StandardSchemaV1, validated } from 'sluice/schema';
import * as v from 'valibot';
import { z } from 'zod';
import { recordingLogger } from '../support/recording-logger.js';
import { schemaOf } from '../support/schemas.js';

const SECRET = 'hunter2-correct-horse-battery-staple';
const NUMBER = 987_654_321_012;

/** A text that shows everything of a payload. */
function textOf(value: unknown): string {
  return JSON.stringify(value, (_name, each: unknown) => (typeof each === 'bigint' ? String(each) : each));
}

/** Everything of an error that a log may show. */
function errorText(error: unknown): string {
  const { name, message, stack, path, expected, received, issues, cause } = error as InvalidMessageError;
  return JSON.stringify([
    name,
    message,
    stack,
    path,
    expected,
    received,
    issues,
    cause && errorText(cause),
    { ...(error as object) },
  ]);
}

/** Publishes an invalid payload, and delivers it to each kind of consumer. Returns all that they tell. */
async function toldOf(schema: StandardSchemaV1<unknown, object>, payload: object): Promise<string> {
  const told: string[] = [];
  const logger = recordingLogger();
  const deadLetter = new MemoryBackend();
  const schemas = { order: schema };
  const filled = async () => {
    const memory = new MemoryBackend();
    await memory.publish('order', payload);
    await memory.close();
    return memory;
  };
  const refused = await validated(new MemoryBackend(), schemas)
    .publish('order', payload)
    .catch((error: unknown) => error);
  expect(refused).toMatchObject({ name: 'InvalidMessageError' });
  told.push(errorText(refused));
  for (const options of [{ deadLetter }, {}]) {
    const onOutcome = ({ error }: Outcome) => void told.push(error === undefined ? '' : errorText(error));
    const work = handle(() => {}, { logger, deadLetter, onOutcome, retry: { count: 0 } });
    const stream = validated(await filled(), schemas, { logger, ...options }).deliveries();
    await lastValueFrom(stream.pipe(work), { defaultValue: undefined });
  }
  const error = jest.spyOn(console, 'error').mockReset();
  await lastValueFrom(validated(await filled(), schemas).deliveries(), { defaultValue: undefined });
  expect(error).toHaveBeenCalledTimes(1);
  told.push(JSON.stringify(error.mock.calls), JSON.stringify(logger));
  const letters = await deadLetter.peek();
  expect(letters).toHaveLength(2);
  told.push(...letters.map(({ headers }) => JSON.stringify(headers)));
  return told.join('\n');
}

const shapes = {
  zod: {
    type: z.object({ a: z.number() }),
    nested: z.object({ a: z.array(z.object({ b: z.string().max(3) })) }),
    format: z.object({ a: z.email() }),
    choice: z.object({ a: z.enum(['x', 'y']) }),
    literal: z.object({ a: z.literal('x') }),
    union: z.object({ a: z.union([z.object({ b: z.literal('x') }), z.record(z.string(), z.number())]) }),
    record: z.object({ a: z.record(z.string(), z.object({ b: z.number() })) }),
    key: z.object({ a: z.record(z.string().max(3), z.number()) }),
    catchall: z.object({}).catchall(z.number()),
    strict: z.strictObject({ c: z.number().optional() }),
    message: z.object({
      a: z.unknown().refine(() => false, { error: (issue) => `not ${textOf(issue.input)}` }),
    }),
    issue: z.object({ a: z.unknown() }).superRefine((value, context) => {
      const text = textOf(value);
      context.addIssue({ code: 'custom', message: text, path: [text], params: { text }, expected: text } as never);
    }),
  },
  valibot: {
    type: v.object({ a: v.number() }),
    nested: v.object({ a: v.array(v.object({ b: v.pipe(v.string(), v.maxLength(3)) })) }),
    format: v.object({ a: v.pipe(v.string(), v.email()) }),
    choice: v.object({ a: v.picklist(['x', 'y']) }),
    literal: v.object({ a: v.literal('x') }),
    union: v.object({ a: v.union([v.object({ b: v.literal('x') }), v.record(v.string(), v.number())]) }),
    record: v.object({ a: v.record(v.string(), v.object({ b: v.number() })) }),
    key: v.object({ a: v.record(v.pipe(v.string(), v.maxLength(3)), v.number()) }),
    rest: v.objectWithRest({}, v.number()),
    strict: v.strictObject({ c: v.optional(v.number()) }),
    message: v.object({
      a: v.custom(
        () => false,
        (issue) => `not ${textOf(issue.input)}`,
      ),
    }),
  },
  arktype: {
    type: type({ a: 'number' }),
    nested: type({ a: type({ b: 'string<=3' }).array() }),
    format: type({ a: 'string.email' }),
    choice: type({ a: "'x'|'y'" }),
    literal: type({ a: "'x'" }),
    union: type({ a: type({ b: "'x'" }).or({ '[string]': 'number' }) }),
    record: type({ a: { '[string]': { b: 'number' } } }),
    pattern: type({ a: { '[/^h/]': 'number' } }),
    strict: type({ '+': 'reject', 'c?': 'number' }),
    message: type({ a: type('unknown').narrow((value, context) => context.mustBe(`not ${textOf(value)}`)) }),
  },
  hand: {
    text: schemaOf((value) => ({ issues: [{ message: textOf(value), expected: textOf(value) }] })),
  },
} as const;

const cases = Object.entries(shapes).flatMap(([library, schemas]) =>
  Object.entries(schemas).map(
    ([name, schema]) => [library, name, schema as StandardSchemaV1<unknown, object>] as const,
  ),
);

/** Payloads with secrets as a text, a number, a nested text, and a name. */
const payloads = [
  { a: SECRET },
  { a: NUMBER },
  { a: [{ b: SECRET }, { b: NUMBER }] },
  { a: { b: SECRET } },
  { a: { [SECRET]: SECRET } },
  { a: { [SECRET]: { b: SECRET } } },
  { a: { [SECRET]: { b: { [SECRET]: NUMBER } } }, [SECRET]: NUMBER },
  { a: SECRET, [SECRET]: SECRET },
  { a: new Date(NUMBER) },
  { a: BigInt(NUMBER) },
];

/** Whether the secrets show, also if cut short. */
function expectSecret(told: string): void {
  expect(told).not.toContain(SECRET.slice(0, 7));
  expect(told).not.toContain(SECRET.slice(-7));
  expect(told).not.toContain(String(NUMBER).slice(0, 6));
  expect(told).not.toContain(String(new Date(NUMBER).getTime()));
  expect(told).not.toContain(new Date(NUMBER).toISOString().slice(0, 10));
}

afterEach(() => jest.restoreAllMocks());

describe('No error, log line or header shows a value or a name of a payload', () => {
  it.each(cases)('with %s: %s', async (_library, _name, schema) => {
    let invalid = 0;
    for (const payload of payloads) {
      const result = await schema['~standard'].validate(payload);
      if (result.issues === undefined) continue;
      invalid++;
      expectSecret(await toldOf(schema, payload));
    }
    expect(invalid).toBeGreaterThan(0);
  });

  it('if a schema throws', async () => {
    const logger = recordingLogger();
    const memory = new MemoryBackend();
    const outcomes: Outcome[] = [];
    const schema = schemaOf((value) => {
      throw new Error(JSON.stringify(value));
    });
    await memory.publish('order', { a: SECRET });
    const deadLetter = new MemoryBackend();
    const onOutcome = (outcome: Outcome) => void outcomes.push(outcome);
    const work = handle(() => {}, { logger, deadLetter, onOutcome, retry: { count: 0 } });
    await memory.close();
    await lastValueFrom(validated(memory, { order: schema }).deliveries().pipe(work), { defaultValue: undefined });
    expect(outcomes.map(({ status, error }) => [status, String(error)])).toEqual([
      ['dead-lettered', 'SluiceError: The schema of key "order" failed: it threw an error'],
    ]);
    const [letter] = await deadLetter.peek();
    expectSecret(JSON.stringify([logger, letter?.headers]));
  });

  it('for random payloads, of which no text of five characters shows', async () => {
    const text = fc.string({ minLength: 5, maxLength: 40 }).map((value) => `§${value}`);
    const record = fc.dictionary(text, fc.oneof(text, fc.bigInt({ min: 10n ** 12n }), fc.dictionary(text, text)), {
      minKeys: 1,
      maxKeys: 4,
    });
    const schemas = cases.map(([, , schema]) => schema);
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...schemas), record, async (schema, a) => {
        const payload = { a };
        const { issues } = await schema['~standard'].validate(payload);
        if (issues === undefined) return;
        const error = await validated(new MemoryBackend(), { order: schema })
          .publish('order', payload)
          .catch(errorText);
        expect(error).not.toContain('§');
        expect(error).not.toMatch(/\d{12}/);
      }),
      { numRuns: 300 },
    );
  });
});

describe('The path of an issue', () => {
  const pathsOf = async (schema: StandardSchemaV1<unknown, object>, payload: object) => {
    const error = await validated(new MemoryBackend(), { order: schema })
      .publish('order', payload)
      .catch((thrown: InvalidMessageError) => thrown);
    return (error as InvalidMessageError).issues.map(({ path }) => path);
  };

  it.each([
    ['zod', shapes.zod.record],
    ['valibot', shapes.valibot.record],
    ['arktype', shapes.arktype.record],
  ])('hides the names of a record, with %s', async (_, schema) => {
    expect(await pathsOf(schema, { a: { [SECRET]: { b: SECRET } } })).toEqual(['payload.a[*].b']);
  });

  it.each([
    ['zod', z.object({ 'unit price': z.number(), a: z.optional(z.object({ b: z.number() })) })],
    ['valibot', v.object({ 'unit price': v.number(), a: v.optional(v.object({ b: v.number() })) })],
    ['arktype', type({ 'unit price': 'number', 'a?': { b: 'number' } })],
  ])('shows declared names, with %s', async (_, schema) => {
    const paths = await pathsOf(schema, { 'unit price': SECRET, a: { b: SECRET } });
    expect(paths.sort()).toEqual(['payload.a.b', 'payload["unit price"]']);
  });

  it('shows the names of extended, recursive and nested schemas', async () => {
    const category = z.object({
      name: z.string(),
      get children() {
        return z.array(category);
      },
    });
    const schema = z.object({ root: category }).extend({ other: z.object({ deep: z.number() }).optional() });
    const payload = { root: { name: 'a', children: [{ name: 5, children: [] }] }, other: { deep: SECRET } };
    expect(await pathsOf(schema, payload)).toEqual(['payload.root.children[0].name', 'payload.other.deep']);
  });

  it('leaves the schema as it was', async () => {
    const schema = z.object({ a: z.number() });
    await pathsOf(schema, { a: SECRET });
    expect(schema.extend({ b: z.string().refine(() => true) }).safeParse({ a: 1, b: '' }).success).toBe(true);
    expect(z.number().min(1).optional().safeParse(undefined).success).toBe(true);
  });

  it('ignores getters and issues that throw', async () => {
    const revoked = Proxy.revocable({}, {});
    revoked.revoke();
    for (const issue of [
      revoked.proxy,
      {
        get path() {
          throw new Error(SECRET);
        },
      },
      { path: [Symbol(SECRET)] },
    ]) {
      const [path] = await pathsOf(
        schemaOf(() => ({ issues: [issue] })),
        {},
      );
      expect(path).not.toContain(SECRET);
    }
  });
});
