import { inspect } from 'node:util';
import { MemoryBackend } from 'sluice';
import { type StandardSchemaV1, validated } from 'sluice/schema';
import * as v from 'valibot';
import { z } from 'zod';
import { schemaOf } from '../support/schemas.js';

const SECRET = 'hunter2-correct-horse';
const PIN = 471_147;

/** Returns the error of a publish. */
function refusal(schema: StandardSchemaV1<unknown, object>, payload: object): Promise<unknown> {
  const queue = validated(new MemoryBackend(), { order: schema });
  return queue.publish('order', payload).catch((error: unknown) => error);
}

function expectSecret(error: unknown): void {
  const text = inspect(error, { depth: 10, showHidden: true });
  expect(text).not.toContain(SECRET);
  expect(text).not.toContain(String(PIN));
}

describe('A path shows no value that a schema puts into it', () => {
  const schema = (segment: (items: string[]) => string | number) =>
    z
      .object({ items: z.array(z.string()) })
      .superRefine(({ items }, context) =>
        context.addIssue({ code: 'custom', message: 'no', path: ['items', segment(items)] }),
      );

  it.each<[string, string, (items: string[]) => string | number]>([
    ['an index', 'payload.items[1]', () => 1],
    ['a number that is no index', 'payload.items[*]', ([pin]) => Number(pin)],
    ['the text of a number', 'payload.items[*]', ([pin]) => String(pin)],
  ])('%s', async (_name, path, segment) => {
    const error = await refusal(schema(segment), { items: [String(PIN), 'b'] });
    expect(error).toMatchObject({ name: 'InvalidMessageError', path });
    expectSecret(error);
  });

  it('an index of a tuple that is too short', async () => {
    const error = await refusal(v.object({ pair: v.tuple([v.string(), v.string(), v.string()]) }), { pair: ['a'] });
    expect(error).toMatchObject({ path: 'payload.pair[1]', issues: [{}, { path: 'payload.pair[2]' }] });
  });

  it.each([
    ['an object', Object.create(null)],
    [
      'an object that cannot be a text',
      {
        toString() {
          throw new Error(SECRET);
        },
      },
    ],
    ['null', null],
    ['a text', SECRET],
  ])('the key of a map: %s', async (_name, key) => {
    const error = await refusal(v.object({ map: v.map(v.any(), v.number()) }), { map: new Map([[key, 'x']]) });
    expect(error).toMatchObject({ name: 'InvalidMessageError', path: 'payload.map[*]' });
    expectSecret(error);
  });
});

describe('A schema that fails shows nothing', () => {
  const failure = { name: 'SluiceError', cause: { name: 'Error' } };

  it.each([
    ['by the name of its error', (text: string) => Object.assign(new Error(), { name: text })],
    [
      'by a name that cannot be read',
      (text: string) =>
        Object.defineProperty(new Error(), 'name', {
          get() {
            throw new Error(text);
          },
        }),
    ],
  ])('%s', async (_name, errorOf) => {
    const schema = schemaOf((payload) => {
      throw errorOf((payload as { a: string }).a);
    });
    const error = await refusal(schema, { a: SECRET });
    expect(error).toMatchObject(failure);
    expectSecret(error);
  });

  it('but the usual name of its error', async () => {
    const schema = schemaOf(() => JSON.parse('{'));
    expect(await refusal(schema, {})).toMatchObject({ cause: { name: 'SyntaxError' } });
  });

  it.each(['then', 'issues', 'value'])('by a result whose `%s` cannot be read', async (field) => {
    const schema = schemaOf((payload) =>
      Object.defineProperty({}, field, {
        get() {
          throw new Error((payload as { a: string }).a);
        },
      }),
    );
    const error = await refusal(schema, { a: SECRET });
    expect(error).toMatchObject(failure);
    expectSecret(error);
  });
});
