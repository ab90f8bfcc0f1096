import fc from 'fast-check';
import { link } from '../playground/link';
import { CompilationError, compile, type Importable } from '../playground/program';
import type { Compiled, ProgramError } from '../playground/protocol';

const IMPORTABLE: Importable = {
  sluice: ['MemoryBackend', 'handle', 'größe', '$x'],
  rxjs: ['map', 'of'],
  'rxjs/testing': ['TestScheduler'],
};
const URLS = { sluice: 'blob:1', rxjs: 'blob:2', 'rxjs/testing': 'blob:3' };
const KNOWN = 'The playground has "rxjs", "rxjs/testing" and "sluice".';

const compiled = (code: string): Promise<Compiled> => compile(code, IMPORTABLE);
const linked = async (code: string): Promise<string> => link(await compiled(code), URLS);

async function errorOf(code: string): Promise<ProgramError> {
  const error = await compiled(code).then(
    ({ code: result }) => new Error(`Expected an error, got ${result}`),
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof CompilationError)) throw error;
  expect(error.message).toBe(error.error.message);
  return error.error;
}

const AsyncFunction = (async () => {}).constructor as FunctionConstructor;

/** Runs a program without imports. Returns what it returns. */
async function resultOf(code: string): Promise<unknown> {
  const { code: script } = await compiled(code);
  return AsyncFunction(script)();
}

/** Where each text stands: its line. */
const lineOf = (code: string, text: string): number => code.slice(0, code.indexOf(text)).split('\n').length;

describe('a compiled program', () => {
  it('has the lines of the TypeScript', async () => {
    const code = `import {
  type Delivery,
  MemoryBackend,
} from 'sluice';
interface Order<T extends object = {}> {
  id: T;
}
type Kind = \`x\${string}\` | {
  a: 1;
};
declare const missing: number;
function f(a: number): void;
function f(a: unknown): asserts a is string {
}
abstract class Base<T> {
  declare x: T;
  abstract
    g(): void;
  private y?: number;
}
const order = { id: new Map<string, Array<number>>() } satisfies
  Order<object>;
MARK(MemoryBackend, order as unknown as Kind, f<number>, Base!);`;
    const { code: result } = await compiled(code);
    expect(result.split('\n').length).toBe(code.split('\n').length);
    expect(lineOf(result, 'MARK')).toBe(lineOf(code, 'MARK'));
    expect(lineOf(result, 'class Base')).toBe(lineOf(code, 'abstract class Base'));
    expect(result).not.toMatch(/interface|Delivery|satisfies|declare|asserts|private|unknown/);
  });

  it('keeps the lines of Windows', async () => {
    const { code } = await compiled('const a: number = 1;\r\ninterface A {\r\n}\r\nMARK');
    expect(code.split('\r\n').indexOf('MARK')).toBe(3);
  });

  it.each<[string, string, unknown]>([
    ['top-level await', 'const a: number = await Promise.resolve(1); return a;', 1],
    ['satisfies and as', "return ({ a: 1 } satisfies object as { a: number }).a; type A = 'as';", 1],
    ['generics', 'const f = <T,>(x: T): T[] => [x]; return f<number>(1)[0]! + <number>1;', 2],
    ['enums', 'enum A { B, C = 5,\n D }\nconst enum E { F = "f" }\nreturn [A.D, A[5], E.F];', [6, 'C', 'f']],
    [
      'parameter properties',
      'class A { constructor(private readonly a = 1, public b = 2) {} c() { return this.a + this.b; } }\nreturn new A().c();',
      3,
    ],
    [
      'private members',
      'class A { #a = 1; static { A.b = 1; } static b: number; has(o: object) { return #a in o; } }\nreturn new A().has(new A());',
      true,
    ],
    ['optional chains', 'const a = { b: 1 } as { b?: number }; return a?.b ?? 0;', 1],
    ['generators', 'function* g<T>(x: T): Generator<T> { yield x; } return [...g(1)];', [1]],
    ['large numbers', 'let x = 1_000n; x **= 2n; return String(x);', '1000000'],
  ])('runs %s', async (_name, code, result) => {
    expect(await resultOf(code)).toEqual(result);
  });

  it('leaves decorators to the browser, in their lines', async () => {
    const code = 'class A {\n  @log m(): void {}\n}';
    expect((await compiled(code)).code).toBe('class A {\n  @log m() {}\n}');
  });

  it('may be empty', async () => {
    expect(await compiled('')).toEqual({ code: '', links: [] });
  });
});

describe('an import', () => {
  it.each<[string, string, string]>([
    [
      'names',
      "import { handle as h, MemoryBackend } from 'sluice'; h(MemoryBackend);",
      "import { handle as h, MemoryBackend } from 'blob:1'; h(MemoryBackend);",
    ],
    ['all', 'import * as s from "sluice"; s.handle;', 'import * as s from "blob:1"; s.handle;'],
    ['nothing', "import 'rxjs/testing';", "import 'blob:3';"],
    [
      'two modules',
      "import { handle } from 'sluice'; import { of } from 'rxjs'; handle(of);",
      "import { handle } from 'blob:1'; import { of } from 'blob:2'; handle(of);",
    ],
    [
      'a name with other letters',
      "import { größe, $x } from 'sluice'; größe($x);",
      "import { größe, $x } from 'blob:1'; größe($x);",
    ],
    [
      'a module, later',
      "await import('rxjs'); await import(`sluice`);",
      'await import("blob:2"); await import("blob:1");',
    ],
    ['a module with a comment', "await import(/* 'fs' */ 'rxjs');", 'await import(/* \'fs\' */ "blob:2");'],
    [
      'for others',
      "export { handle as h } from 'sluice'; export * from 'rxjs';",
      "export { handle as h } from 'blob:1'; export * from 'blob:2';",
    ],
    ['for others under a name', "export * as rxjs from 'rxjs';", "export * as rxjs from 'blob:2';"],
  ])('of %s gets the URL of its module', async (_name, code, result) => {
    expect(await linked(code)).toBe(result);
  });

  it.each<[string, string]>([
    ['of a type', "import type { Nothing } from 'nowhere';\nlet a: Nothing;"],
    ['of a default type', "import type Nothing from 'nowhere';\nlet a: Nothing;"],
    ['of a type as a value', "import { Delivery } from 'sluice';\nlet a: Delivery;"],
    ['that is not used', "import { nope } from 'sluice';"],
    ['within a type', "let a: import('nowhere').A;\nlet b: typeof import('sluice');"],
  ])('%s is removed', async (_name, code) => {
    const { code: result, links } = await compiled(code);
    expect(links).toEqual([]);
    expect(result).not.toContain('import');
    expect(result.split('\n').length).toBe(code.split('\n').length);
  });

  it.each<[string, string]>([
    ['a string', `console.log("import a from 'fs'", 'import("fs")');`],
    ['a template', `console.log(\`import a from 'fs'; \${1} import('fs')\`);`],
    ['a comment', "// import a from 'fs'\n/* await import('fs') */"],
    ['an expression', "console.log(/import('fs')/, { import: 1 }.import, import.meta.url);"],
  ])('is not found in %s', async (_name, code) => {
    expect(await compiled(code)).toEqual({ code, links: [] });
  });

  it.each(['await import(name);', `await import(\`r\${name}\`);`, "await import('a' + name);"])(
    'of an expression is left to the running program: %s',
    async (code) => {
      expect(await compiled(code)).toEqual({ code, links: [] });
    },
  );

  it.each<[string, string, number]>([
    ['by default', "\n\nimport fs from 'fs';\nfs.x;", 3],
    ['unused', "\nimport { readFile } from 'fs';", 2],
    ['for its effects', "import 'sluice';\nimport 'fs';", 2],
    ['in several lines', "import {\n  a,\n  b,\n} from 'fs';", 1],
    ['later', "\n\nawait import('fs');", 3],
    ['for others', "\nexport * from 'fs';", 2],
  ])('of an unknown module has a message and a line: %s', async (_name, code, line) => {
    expect(await errorOf(code)).toEqual({ message: `cannot import "fs". ${KNOWN}`, line });
  });

  it('knows no module by a name that all objects have', async () => {
    expect((await errorOf("import a from 'toString'; a();")).message).toBe(`cannot import "toString". ${KNOWN}`);
  });

  it.each<[string, string, string, number]>([
    ['a name', "import { nope } from 'sluice'; nope;", 'nope', 1],
    ['one of several', "import {\n  handle,\n  nope,\n} from 'sluice';\nhandle(nope);", 'nope', 3],
    ['a name with another one here', "import {\n  nope as handle } from 'sluice';\nhandle;", 'nope', 2],
    ['a name with a $', "import { $x, nope$ } from 'sluice'; $x(nope$);", 'nope$', 1],
    ['a name with other letters', "import { höhe } from 'sluice'; höhe;", 'höhe', 1],
    ['one for others', "\nexport {\n nope } from 'rxjs';", 'nope', 3],
    ['the default', "import x from 'rxjs'; x;", 'default', 1],
    ['the default and names', "import x, { map } from 'rxjs'; x(map);", 'default', 1],
    ['the default and all', "import x, * as all from 'rxjs'; x(all);", 'default', 1],
    ['the default by name', "import { default as x } from 'rxjs'; x;", 'default', 1],
    ['the default in several lines', "\nimport\n  x from 'rxjs';\nx;", 'default', 2],
    [
      'a name of the second module',
      "import { handle } from 'sluice';\nimport { handle as nope } from 'rxjs';\nhandle(nope);",
      'handle',
      2,
    ],
    [
      'a name between comments',
      "import { // { a, 'x'\n handle, /* } */\n nope /* as b */ } from 'sluice'; handle(nope);",
      'nope',
      3,
    ],
    ['a name after a comment with a brace', "import /* { */ { /* } */ nope } from 'sluice'; nope;", 'nope', 1],
    ['in lines of Windows', "const a = '\u2028';\r\nimport { nope } from 'sluice';\r\nnope;", 'nope', 2],
  ])('of what a module lacks has a message and a line: %s', async (_name, code, name, line) => {
    const specifier = /'(sluice|rxjs)'[^']*$/.exec(code)?.[1];
    expect(await errorOf(code)).toEqual({ message: `"${specifier}" has no export "${name}".`, line });
  });

  it.each([
    "import { /* nope, } */ handle, // nope, 'x'\n MemoryBackend /* as */ as /* y */ M } from 'sluice'; handle(M);",
    "import /* { nope } */ { handle } from 'sluice'; handle;",
    "import { handle, } from 'sluice'; const x = { nope: 1 }; handle(x);",
  ])('takes no names from comments: %s', async (code) => {
    expect((await compiled(code)).links.map(({ specifier }) => specifier)).toEqual(['sluice']);
  });
});

describe('an error of the syntax', () => {
  it.each<[string, string, string, number, number]>([
    ['an expression that lacks', 'const a = 1;\nconst b = ;', 'Unexpected token', 2, 11],
    ['a list without an end', 'function f( {\n', 'Unexpected token, expected ","', 2, 1],
    ['a type that lacks', 'const a: = 1;', 'Unexpected token', 1, 10],
    ['a string without an end', "foo(\n  'abc\n);", 'Unterminated string constant', 2, 3],
    ['a template without an end', 'const a = `abc', 'Unterminated template', 1, 12],
    ['JSX, which is no TypeScript', '\nconst a = <div>hi</div>;', 'Unterminated regular expression', 2, 20],
    ['a string without an end, later', "log('a'\n);\nlog('b", 'Unterminated string constant', 3, 5],
    ['a reserved word', 'const class = 1;', 'Unexpected token', 1, 7],
  ])('has a line and a column: %s', async (_name, code, message, line, column) => {
    expect(await errorOf(code)).toEqual({ message: `SyntaxError: ${message}`, line, column });
  });

  it('is the only error of any text', async () => {
    const piece = fc.constantFrom(
      ...['import ', 'export ', 'from ', "'sluice'", '"fs"', '{', '}', '(', ')', '<', '>', '`', '${', '/*', '*/', '//'],
      ...[
        'type ',
        'as ',
        ', ',
        '* ',
        ' a ',
        '\n',
        '=',
        ':',
        ';',
        'class ',
        'enum ',
        '@',
        '#',
        '?',
        '=>',
        'await ',
        '\\',
      ],
    );
    const text = fc.oneof(fc.string({ unit: piece, maxLength: 15 }), fc.string({ unit: 'binary', maxLength: 30 }));
    await fc.assert(
      fc.asyncProperty(text, async (code) => {
        const lines = code.split('\n').length;
        try {
          const { code: result, links } = await compiled(code);
          for (const { start, end } of links) expect(result.slice(start, end)).toContain('sluice');
        } catch (error) {
          if (!(error instanceof CompilationError)) throw error;
          expect(error.error.line ?? 1).toBeLessThanOrEqual(lines);
          expect(error.error.line ?? 1).toBeGreaterThanOrEqual(1);
        }
      }),
      { numRuns: 1000 },
    );
  });
});

describe('link', () => {
  it('replaces each range, and keeps all else', () => {
    const code = "a 'x' b `y` c";
    const links = [
      { specifier: 'x', start: 3, end: 4, quoted: false },
      { specifier: 'y', start: 8, end: 11, quoted: true },
    ];
    expect(link({ code, links }, { x: 'X:1', y: 'Y:"2' })).toBe(`a 'X:1' b "Y:\\"2" c`);
    expect(link({ code, links: [] }, {})).toBe(code);
  });

  it('tells which URL lacks', () => {
    const links = [{ specifier: 'x', start: 0, end: 1, quoted: false }];
    expect(() => link({ code: 'x', links }, {})).toThrow('Expected a URL for "x"');
  });
});
