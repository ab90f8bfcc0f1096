/** How deep nested objects are shown, and how many entries of one. As `util.inspect` of Node. */
const DEEPEST = 2;
const MOST_ENTRIES = 100;
/** Longer objects are shown on several lines. */
const LONGEST_LINE = 72;
const LONGEST_STRING = 10_000;
/** How many values are shown at most, nested ones included: a large object must not take seconds. */
const MOST_VALUES = 10_000;

let valuesLeft = MOST_VALUES;

/** Formats the arguments of `console.log` as Node does: strings as they are, objects in short. */
export function formatLine(values: readonly unknown[]): string {
  const [first, ...rest] = values;
  if (typeof first !== 'string' || rest.length === 0 || !first.includes('%')) return values.map(show).join(' ');
  let next = 0;
  const text = first.replace(/%([sdifjoOc%])/g, (placeholder, kind: string) => {
    if (kind === '%') return '%';
    if (next === rest.length) return placeholder;
    const value = rest[next++];
    return attempt(() => substitute(kind, value));
  });
  return [text, ...rest.slice(next).map(show)].join(' ');
}

function substitute(kind: string, value: unknown): string {
  switch (kind) {
    case 's':
      return show(value);
    case 'd':
      return formatNumber(value, Number);
    case 'i':
      return formatNumber(value, (one) => Number.parseInt(String(one), 10));
    case 'f':
      return typeof value === 'bigint'
        ? String(Number(value))
        : formatNumber(value, (one) => Number.parseFloat(String(one)));
    case 'j':
      return JSON.stringify(value) ?? 'undefined';
    case 'c':
      return '';
    default:
      return inspect(value);
  }
}

/** Objects and symbols are no numbers: their conversion may throw. */
function formatNumber(value: unknown, convert: (value: unknown) => number): string {
  if (typeof value === 'bigint') return `${value}n`;
  const isOther = (typeof value === 'object' && value !== null) || typeof value === 'symbol';
  return inspect(isOther ? Number.NaN : convert(value));
}

function show(value: unknown): string {
  return typeof value === 'string' ? value : inspect(value);
}

/** Formats a value as `util.inspect` does: `{ id: 1 }`. Never throws. */
export function inspect(value: unknown): string {
  valuesLeft = MOST_VALUES;
  return attempt(() => format(value, 0, []));
}

/** A getter or a proxy of the program may throw. */
function attempt(run: () => string): string {
  try {
    return run();
  } catch (error) {
    return `[not shown: ${describeThrown(error)}]`;
  }
}

/** Describes an error in a line: `TypeError: message`. Never throws. */
export function describeThrown(error: unknown): string {
  try {
    if (!(error instanceof Error)) return String(error);
    return error.message === '' ? error.name : `${error.name}: ${error.message}`;
  } catch {
    return 'it throws';
  }
}

function format(value: unknown, depth: number, path: readonly object[]): string {
  if (--valuesLeft < 0) return '…';
  switch (typeof value) {
    case 'string':
      return quote(value);
    case 'bigint':
      return `${value}n`;
    case 'number':
      return Object.is(value, -0) ? '-0' : String(value);
    case 'function':
      return formatFunction(value);
    case 'object':
      return value === null ? 'null' : formatObject(value, depth, path);
    default:
      return String(value);
  }
}

function quote(text: string): string {
  const cut = text.length > LONGEST_STRING ? `${text.slice(0, LONGEST_STRING)}…` : text;
  const mark = ["'", '"', '`'].find((one) => !cut.includes(one)) ?? "'";
  const escaped = JSON.stringify(cut).slice(1, -1).replaceAll('\\"', '"');
  return `${mark}${mark === "'" ? escaped.replaceAll("'", "\\'") : escaped}${mark}`;
}

function formatFunction(value: object & { readonly name?: unknown }): string {
  const isClass = /^class\b/.test(Function.prototype.toString.call(value));
  const name = typeof value.name === 'string' ? value.name : '';
  if (isClass) return `[class ${name === '' ? '(anonymous)' : name}]`;
  return name === '' ? '[Function (anonymous)]' : `[Function: ${name}]`;
}

function formatObject(value: object, depth: number, path: readonly object[]): string {
  if (path.includes(value)) return '[Circular]';
  if (value instanceof Error) return formatError(value, depth, path);
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? 'Invalid Date' : value.toISOString();
  if (value instanceof RegExp) return String(value);
  if (value instanceof Number || value instanceof String || value instanceof Boolean)
    return `[${value.constructor.name}: ${format(value.valueOf(), depth, path)}]`;
  if (value instanceof Promise) return 'Promise {}';
  const name = nameOf(value);
  if (depth > DEEPEST) return Array.isArray(value) ? '[Array]' : `[${name === '' ? 'Object' : name}]`;
  const inner = (one: unknown): string => format(one, depth + 1, [...path, value]);
  if (Array.isArray(value))
    return enclose(name === 'Array' ? '' : `${name}(${value.length}) `, '[', arrayItems(value, inner), ']');
  if (ArrayBuffer.isView(value) && !(value instanceof DataView)) {
    const items = value as unknown as ArrayLike<unknown>;
    return enclose(
      `${name}(${items.length}) `,
      '[',
      limited(Array.prototype.slice.call(items, 0, MOST_ENTRIES), inner, items.length),
      ']',
    );
  }
  if (value instanceof Map) {
    const entries = limited([...value], ([key, one]) => `${inner(key)} => ${inner(one)}`, value.size);
    return enclose(`Map(${value.size}) `, '{', entries, '}');
  }
  if (value instanceof Set) return enclose(`Set(${value.size}) `, '{', limited([...value], inner, value.size), '}');
  return enclose(
    name === 'Object' ? '' : `${name === '' ? '[Object: null prototype]' : name} `,
    '{',
    members(value, inner),
    '}',
  );
}

/** `Error: message`; within an object in brackets, as Node does without a stack. */
function formatError(error: Error, depth: number, path: readonly object[]): string {
  const text = describeThrown(error);
  // A chain of causes may be long, or have no end.
  if (depth > DEEPEST) return `[${text}]`;
  const details = members(error, (one) => format(one, depth + 1, [...path, error]));
  if (error.cause !== undefined) details.push(`[cause]: ${format(error.cause, depth + 1, [...path, error])}`);
  const shown = depth === 0 ? text : `[${text}]`;
  return details.length === 0 ? shown : enclose(`${shown} `, '{', details, '}');
}

/** The name of the class, or of its nearest ancestor that has one. Empty: there is none. */
function nameOf(value: object): string {
  let prototype: object | null = Object.getPrototypeOf(value);
  for (; prototype !== null; prototype = Object.getPrototypeOf(prototype)) {
    const maker: unknown = Object.getOwnPropertyDescriptor(prototype, 'constructor')?.value;
    const name: unknown = typeof maker === 'function' ? maker.name : '';
    if (typeof name === 'string' && name !== '') return name;
  }
  return '';
}

/** The own members. Getters are not run: they may change the state that is looked at. */
function members(value: object, inner: (one: unknown) => string): string[] {
  const keys = Reflect.ownKeys(value).filter((key) => Object.getOwnPropertyDescriptor(value, key)?.enumerable);
  return limited(
    keys,
    (key) => {
      const descriptor = Object.getOwnPropertyDescriptor(value, key);
      const text = typeof key === 'symbol' ? `[${String(key)}]` : /^[a-z_]\w*$/i.test(key) ? key : quote(key);
      if (descriptor?.get !== undefined) return `${text}: [Getter]`;
      return `${text}: ${descriptor?.set === undefined ? inner(descriptor?.value) : '[Setter]'}`;
    },
    keys.length,
  );
}

function arrayItems(array: readonly unknown[], inner: (one: unknown) => string): string[] {
  const shown = array.slice(0, MOST_ENTRIES);
  return limited(
    Array.from(shown, (_, index) => index),
    (index) => (index in array ? inner(array[index]) : '<empty>'),
    array.length,
  );
}

function limited<Item>(items: readonly Item[], text: (item: Item) => string, size: number): string[] {
  const shown = items.slice(0, MOST_ENTRIES).map(text);
  if (size > shown.length) shown.push(`... ${size - shown.length} more`);
  return shown;
}

function enclose(prefix: string, open: string, items: readonly string[], close: string): string {
  if (items.length === 0) return `${prefix}${open}${close}`;
  const line = items.join(', ');
  if (line.length <= LONGEST_LINE && !line.includes('\n')) return `${prefix}${open} ${line} ${close}`;
  const indented = items.map((item) => `  ${item.replaceAll('\n', '\n  ')}`);
  return `${prefix}${open}\n${indented.join(',\n')}\n${close}`;
}

/** Formats what `console.table` gets. Values that are no table are shown as they are. Never throws. */
export function formatTable(data: unknown): string {
  return typeof data === 'object' && data !== null ? attempt(() => tableOf(data)) : show(data);
}

function tableOf(data: object): string {
  const rows = data instanceof Map ? [...data] : Object.entries(data);
  const columns = new Set<string>();
  let hasValues = false;
  for (const [, row] of rows) {
    if (typeof row === 'object' && row !== null) for (const column of Object.keys(row)) columns.add(column);
    else hasValues = true;
  }
  const shown = [...columns].slice(0, MOST_ENTRIES);
  const header = ['(index)', ...shown, ...(hasValues ? ['Values'] : [])];
  const body = rows.slice(0, MOST_ENTRIES).map(([index, row]) => {
    const isRow = typeof row === 'object' && row !== null;
    const cell = (column: string) => (isRow && Object.hasOwn(row, column) ? inspect((row as never)[column]) : '');
    return [String(index), ...shown.map(cell), ...(hasValues ? [isRow ? '' : inspect(row)] : [])];
  });
  const widths = header.map((_, column) => Math.max(...[header, ...body].map((row) => row[column]?.length ?? 0)));
  const lineOf = (row: readonly string[]) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd();
  return [lineOf(header), widths.map((width) => '-'.repeat(width)).join('  '), ...body.map(lineOf)].join('\n');
}
