/**
 * Measures the size of the code. Each rule takes a `Map` of the files of a revision, from path to
 * text.
 */
import ts from 'typescript';
import { engines } from './engines.mjs';

/** The layer that the engines share. At the base revision it is called `broker`. */
const CORE = ['core', 'broker'];

const engineFolders = engines.map(({ name }) => name);

const isUnder = (file, folders) => folders.some((folder) => file.startsWith(`src/${folder}/`));

const linesOf = (text = '') => text.split('\n').length - 1;

/** The number of lines in some folders of `src`, with blank lines and comments. */
export function lines(files, folders) {
  return sum([...files].filter(([file]) => isUnder(file, folders)).map(([, text]) => linesOf(text)));
}

/** The number of lines of a file. */
export function fileLines(files, file) {
  return files.has(file) ? linesOf(files.get(file)) : undefined;
}

/**
 * The files outside the folders of an engine, `src/NAME`, `spec/NAME` and `bench/NAME`, that
 * contain its name. The documentation does not count, nor the figures of the benchmark: their
 * subject is the engine.
 */
export function placesThatName(files, engine) {
  const own = new RegExp(`^(src|spec|bench)/${engine}/|^docs/|\\.md$|^bench/results\\.`);
  return [...files].filter(([file, text]) => !own.test(file) && text.includes(engine)).map(([file]) => file);
}

/**
 * The files of `src` that change for one more field like `headers`, which a message only carries.
 *
 * A file counts if it names the type `MessageHeaders` or, outside the folders of the engines, the
 * identifier `headers`. In the folders of the engines, `headers` may be those of a client, so a file
 * there counts if it names `writeHeaders` or `copyHeaders`. `src/index.ts` does not count, because
 * it only exports the type. Cases of the contract do not count: they use headers to check other
 * rules, and a new field gets its own case.
 */
export function filesOfCarriedField(files) {
  const isShared = (file) => !isUnder(file, engineFolders);
  return sources(files).filter(
    ({ fileName, identifiers }) =>
      fileName !== 'src/index.ts' &&
      !fileName.startsWith('src/testing/cases/') &&
      (['MessageHeaders', 'writeHeaders', 'copyHeaders'].some((name) => identifiers.has(name)) ||
        (isShared(fileName) && identifiers.has('headers'))),
  );
}

/**
 * The files of `src` that name the kinds of settlement: the types `Settlement` and `Settled`, or
 * the string `released`.
 */
export function filesOfSettlement(files) {
  return sources(files).filter(
    ({ identifiers, strings }) =>
      identifiers.has('Settlement') || identifiers.has('Settled') || strings.has('released'),
  );
}

/**
 * Each class that reports reconnects, confirms and failed publishes, or shows a counter of them.
 * The events of the core report all three. Before they existed, `Connection` reported reconnects
 * and `Outbox` the rest, and every place that constructed one had to pass the counter on.
 */
const REPORTED = [
  { when: 'QueueEvents', changes: ['QueueEvents', 'DriverBackend'], passedOn: false },
  { when: 'Outbox', changes: ['Connection', 'Outbox', 'BrokerBackend'], passedOn: true },
];

/**
 * The files that a counter of reconnects, confirms and failed publishes changes: those that declare
 * what reports and shows it, and those that pass it on.
 */
export function filesOfCounter(files) {
  const all = sources(files);
  const declared = all.filter((source) => isUnder(source.fileName, CORE)).flatMap(({ classes }) => [...classes.keys()]);
  const { changes, passedOn } = REPORTED.find(({ when }) => declared.includes(when)) ?? {};
  const missing = changes?.find((name) => !declared.includes(name));
  if (changes === undefined || missing !== undefined)
    throw new Error(
      `The core declares no class ${missing ?? 'Outbox'}: change REPORTED in scripts/lib/house-rules.mjs`,
    );
  return all.filter(({ fileName, classes, used, imports }) => {
    const imported = passedOn
      ? [...used].flatMap((name) => imports.get(name) ?? []).filter(({ from }) => isCore(from))
      : [];
    const names = [...imported.map(({ name }) => name), ...(isUnder(fileName, CORE) ? classes.keys() : [])];
    return names.some((name) => changes.includes(name));
  });
}

const isCore = (specifier) => CORE.some((folder) => specifier.includes(`/${folder}/`));

/** The classes of `src` that declare `ack` and `nack` themselves. */
export function deliveryClasses(files) {
  return sources(files).flatMap(({ classes }) =>
    [...classes].filter(([, members]) => members.has('ack') && members.has('nack')).map(([name]) => name),
  );
}

const parsed = new WeakMap();

/** What the rules read of each source file, without comments. */
function sources(files) {
  if (!parsed.has(files)) {
    const all = [...files].filter(([file]) => file.startsWith('src/') && file.endsWith('.ts'));
    parsed.set(
      files,
      all.map(([file, text]) => readSource(file, text)),
    );
  }
  return parsed.get(files);
}

function readSource(fileName, text) {
  const read = {
    fileName,
    identifiers: new Set(),
    strings: new Set(),
    classes: new Map(),
    used: new Set(),
    imports: new Map(),
  };
  const visit = (node) => {
    if (ts.isIdentifier(node)) read.identifiers.add(node.text);
    if (ts.isStringLiteralLike(node)) read.strings.add(node.text);
    if (ts.isClassDeclaration(node) && node.name !== undefined)
      read.classes.set(node.name.text, new Set(node.members.map((member) => member.name?.getText())));
    if (ts.isNewExpression(node) || (ts.isHeritageClause(node) && node.token === ts.SyntaxKind.ExtendsKeyword))
      read.used.add((node.expression ?? node.types[0].expression).getText());
    if (ts.isImportSpecifier(node)) {
      const from = node.parent.parent.parent.moduleSpecifier.text;
      read.imports.set(node.name.text, { name: (node.propertyName ?? node.name).text, from });
    }
    ts.forEachChild(node, visit);
  };
  visit(ts.createSourceFile(fileName, text, ts.ScriptTarget.Latest, true));
  return read;
}

function sum(numbers) {
  return numbers.reduce((total, number) => total + number, 0);
}
