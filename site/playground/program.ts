import { init, parse } from 'es-module-lexer';
import { transform } from 'sucrase';
import type { Compiled, ProgramError } from './protocol.js';

/** A program that cannot be started, with the place of its error. */
export class CompilationError extends Error {
  override readonly name = 'CompilationError';
  readonly error: ProgramError;

  constructor(error: ProgramError) {
    super(error.message);
    this.error = error;
  }
}

/** What a program can import: the exported names of each module. */
export type Importable = Readonly<Record<string, readonly string[]>>;

/**
 * Compiles TypeScript to an ES module. Its lines stay the same, since types leave gaps.
 *
 * Workers do not know import maps. So the result has the places of the specifiers, and `link`
 * resolves them by hand, as a browser would by `{ "imports": … }`.
 *
 * @throws {CompilationError} (a rejection) with the line of the error
 */
export async function compile(code: string, importable: Importable): Promise<Compiled> {
  await init();
  // An import of which only types are used is removed, even one that is not available. So the
  // imports are checked in code that still has them.
  const checked = strip(code, true);
  for (const { statement, ...one } of importsOf(checked)) checkImport(statement, one, checked, importable);
  const stripped = strip(code, false);
  const links = importsOf(stripped).flatMap(({ specifier, start, end, quoted }) =>
    specifier === undefined ? [] : [{ specifier, start, end, quoted }],
  );
  checkNames(stripped, importsOf(stripped), importable);
  return { code: stripped, links };
}

function strip(code: string, keepUnusedImports: boolean): string {
  try {
    return transform(code, {
      transforms: ['typescript'],
      // The worker runs in the same browser: it knows the syntax of its time.
      disableESTransforms: true,
      preserveDynamicImport: true,
      keepUnusedImports,
    }).code;
  } catch (error) {
    throw syntaxError(error, code);
  }
}

interface Import {
  readonly specifier: string | undefined;
  readonly start: number;
  readonly end: number;
  /** Whether the range includes the quotes. */
  readonly quoted: boolean;
  readonly statement: { readonly start: number; readonly end: number; readonly dynamic: boolean };
}

function importsOf(code: string): Import[] {
  let imports: ReturnType<typeof parse>[0];
  try {
    [imports] = parse(code, 'playground.ts');
  } catch (error) {
    throw syntaxError(error, code);
  }
  return imports.flatMap((one) => {
    if (one.type === 'import-meta') return [];
    const dynamic = one.type === 'dynamic';
    // A template with holes, or an expression: only the running program knows the specifier.
    const specifier = dynamic && one.glob ? undefined : one.specifier;
    const statement = { start: one.importStart, end: one.importEnd, dynamic };
    return [{ specifier, start: one.start, end: one.end, quoted: dynamic, statement }];
  });
}

function checkImport(
  { start }: Import['statement'],
  { specifier }: Pick<Import, 'specifier'>,
  code: string,
  importable: Importable,
): void {
  if (specifier === undefined || Object.hasOwn(importable, specifier)) return;
  const known = Object.keys(importable)
    .sort()
    .map((name) => JSON.stringify(name));
  const message = `cannot import ${JSON.stringify(specifier)}. The playground has ${known.slice(0, -1).join(', ')} and ${known.at(-1)}.`;
  throw new CompilationError({ message, ...lineAt(code, start) });
}

/** A module that lacks an export fails without a place in most browsers. */
function checkNames(code: string, imports: readonly Import[], importable: Importable): void {
  for (const { specifier, statement } of imports) {
    if (specifier === undefined || statement.dynamic) continue;
    const exported = importable[specifier] ?? [];
    for (const { name, offset } of namesIn(code.slice(statement.start, statement.end))) {
      if (exported.includes(name)) continue;
      const message = `${JSON.stringify(specifier)} has no export ${JSON.stringify(name)}.`;
      throw new CompilationError({ message, ...lineAt(code, statement.start + offset) });
    }
  }
}

/** The names that an import or a re-export takes from its module. */
function namesIn(commented: string): { readonly name: string; readonly offset: number }[] {
  const statement = commented.replace(/\/\*[\s\S]*?\*\/|\/\/[^\n]*/g, (comment) => comment.replace(/[^\n]/g, ' '));
  const byDefault = /^import\s+[\p{ID_Continue}$]+\s*(?:,|from\b)/u.exec(statement);
  const braces = /^(?:import|export)\b[^{'"]*\{([^}]*)\}/.exec(statement);
  const names = byDefault === null ? [] : [{ name: 'default', offset: 0 }];
  if (braces === null) return names;
  const list = braces[1] ?? '';
  const from = braces[0].length - 1 - list.length;
  // `a`, `a as b`.
  for (const { 0: name, index } of list.matchAll(/(?<=^|,)\s*[\p{ID_Continue}$]+/gu))
    names.push({ name: name.trim(), offset: from + index + name.search(/\S/) });
  return names;
}

function syntaxError(error: unknown, code: string): CompilationError {
  const { message, loc, idx } = error as {
    message: string;
    loc?: { readonly line: number; readonly column: number };
    idx?: number;
  };
  const place = loc ?? (idx === undefined ? undefined : placeAt(code, idx));
  // Both parsers repeat the place in the message.
  const text = message
    .replace(/^Error transforming [^:]*: |^Parse error [^:]*:\d+:\d+:?/g, '')
    .replace(/ \(\d+:\d+\)$/, '');
  return new CompilationError({
    message: `SyntaxError: ${text === '' ? 'Unexpected token' : text}`,
    ...(place !== undefined && { line: place.line, column: place.column }),
  });
}

function lineAt(code: string, offset: number): { readonly line: number } {
  return { line: placeAt(code, offset).line };
}

/** Lines and columns from 1 up. */
function placeAt(code: string, offset: number): { readonly line: number; readonly column: number } {
  const before = code.slice(0, offset).split('\n');
  return { line: before.length, column: (before.at(-1)?.length ?? 0) + 1 };
}
