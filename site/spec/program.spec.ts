import { link } from '../playground/link.js';
import { CompilationError, compile } from '../playground/program.js';
import type { ProgramError } from '../playground/protocol.js';

const IMPORTABLE = { rxjs: ['map', 'of'], sluice: ['MemoryBackend', 'handle'], 'sluice/schema': ['withSchemas'] };
const URLS = { rxjs: 'blob:null/1', sluice: 'blob:null/2', 'sluice/schema': 'blob:null/3' };

async function compiled(code: string): Promise<string> {
  return link(await compile(code, IMPORTABLE), URLS);
}

async function errorOf(code: string): Promise<ProgramError> {
  const error: unknown = await compile(code, IMPORTABLE).then(
    () => undefined,
    (error: unknown) => error,
  );
  expect(error).toBeInstanceOf(CompilationError);
  return (error as CompilationError).error;
}

describe('A program', () => {
  it('loses its types and keeps its lines', async () => {
    const code = [
      'interface Order {',
      '  readonly id: number;',
      '}',
      "const order = { id: 1 } satisfies Order as Order; // it's",
      'enum Level { Low, High }',
      "await Promise.resolve<string>('a');",
      'at(order.id, Level.High);',
    ].join('\n');
    const lines = (await compiled(code)).split('\n');
    expect(lines).toHaveLength(7);
    expect(lines[3]).toContain('const order = { id: 1 }');
    expect(lines[3]).not.toContain('Order');
    expect(lines[6]).toBe('at(order.id, Level.High);');
  });

  it('gets the URLs of its imports', async () => {
    const code = [
      "import { map, of } from 'rxjs';",
      'import * as sluice from "sluice";',
      "export { withSchemas } from 'sluice/schema';",
      "const again = await import('rxjs');",
      'of(map, sluice, again);',
    ].join('\n');
    const result = await compiled(code);
    expect(result.split('\n')).toEqual([
      "import { map, of } from 'blob:null/1';",
      'import * as sluice from "blob:null/2";',
      "export { withSchemas } from 'blob:null/3';",
      'const again = await import("blob:null/1");',
      'of(map, sluice, again);',
    ]);
  });

  it('may import types', async () => {
    const code = [
      "import type { Nothing } from 'sluice';",
      "import { type Delivery, MemoryBackend, QueueBackend } from 'sluice';",
      'let queue: QueueBackend | Delivery | Nothing = new MemoryBackend();',
    ].join('\n');
    const result = await compiled(code);
    expect(result).toMatch(/\nimport \{ *MemoryBackend,? *\} from 'blob:null\/2';\n/);
    expect(result).not.toMatch(/Nothing|Delivery|QueueBackend/);
  });

  it.each([
    ["import _ from 'lodash';\n_();", 1],
    ["\n\nimport 'lodash';", 3],
    ["import { of } from 'rxjs';\nimport { unused } from 'lodash';\nof();", 2],
    ["\nconst it = await import('lodash');", 2],
    ["\n\n\nexport * from 'lodash';", 4],
  ])('fails if it imports an unknown module: %j', async (code, line) => {
    await expect(errorOf(code)).resolves.toEqual({
      message: 'cannot import "lodash". The playground has "rxjs", "sluice" and "sluice/schema".',
      line,
    });
  });

  it.each([
    [
      "import {\n  MemoryBackend,\n  // a comment, Gone\n  Nothing as Other,\n} from 'sluice';\nnew MemoryBackend(Other);",
      4,
      'Nothing',
    ],
    ["\nimport sluice from 'sluice';\nsluice();", 2, 'default'],
    ["import { of } from 'rxjs';\nexport { Nothing } from 'sluice';\nof();", 2, 'Nothing'],
  ])('fails if it imports an unknown name: %j', async (code, line, name) => {
    await expect(errorOf(code)).resolves.toEqual({ message: `"sluice" has no export "${name}".`, line });
  });

  it.each([
    ['const a = 1;\n\nconst b = ;', 3, 11],
    ["log('a'\n);\nlog('b", 3, 5],
    ['{\n  (', 2, 4],
  ])('fails at the place of a syntax error: %j', async (code, line, column) => {
    const error = await errorOf(code);
    expect(error.message).toMatch(/^SyntaxError: [A-Z][\w ]+$/);
    expect(error).toMatchObject({ line, column });
  });
});
