import { formatLine, formatTable } from './format.js';
import type { OutputLine } from './protocol.js';

/** The most lines that are sent. */
export const MOST_LINES = 1000;

/** How many lines are sent at once, at the latest. */
const BATCH = 100;

/** How long a line waits for others, in real milliseconds. A program in an endless loop still shows it. */
const PERIOD = 50;

/** The most characters of one line. */
const LONGEST_LINE = 20_000;

/** What a program prints: collected, limited and sent in batches. */
export class Output {
  readonly #now: () => number;
  readonly #send: (lines: readonly OutputLine[], omitted: number) => void;
  readonly #realNow: () => number;
  #sentAt = Number.NEGATIVE_INFINITY;
  #lines: OutputLine[] = [];
  #left = MOST_LINES;
  #omitted = 0;
  #omittedSent = 0;

  /**
   * @param now the time to show in front of a line
   * @param realNow real milliseconds
   */
  constructor(now: () => number, realNow: () => number, send: (lines: readonly OutputLine[], omitted: number) => void) {
    this.#now = now;
    this.#realNow = realNow;
    this.#send = send;
  }

  print(level: OutputLine['level'], text: string): void {
    if (this.#left === 0) this.#omitted++;
    else this.#add(level, text);
    if (this.#lines.length >= BATCH || this.#realNow() - this.#sentAt >= PERIOD) this.flush();
  }

  #add(level: OutputLine['level'], text: string): void {
    this.#left--;
    const cut = text.length > LONGEST_LINE ? `${text.slice(0, LONGEST_LINE)}…` : text;
    this.#lines.push({ level, text: cut, now: this.#now() });
  }

  /** Whether `flush` has something to send. */
  get pending(): boolean {
    return this.#lines.length > 0 || this.#omitted > this.#omittedSent;
  }

  flush(): void {
    if (!this.pending) return;
    this.#sentAt = this.#realNow();
    const lines = this.#lines;
    this.#lines = [];
    this.#omittedSent = this.#omitted;
    this.#send(lines, this.#omitted);
  }
}

type Method = (...values: unknown[]) => void;

/** Makes the methods of a console print to an output. */
export function captureConsole(target: Console, output: Output): void {
  let indent = '';
  const print = (level: OutputLine['level'], text: string): void =>
    output.print(level, indent === '' ? text : `${indent}${text.replaceAll('\n', `\n${indent}`)}`);
  const line =
    (level: OutputLine['level']): Method =>
    (...values) =>
      print(level, formatLine(values));
  const open: Method = (...labels) => {
    if (labels.length > 0) print('log', formatLine(labels));
    indent += '  ';
  };
  const counts = new Map<string, number>();
  const replaced: Partial<Record<keyof Console, Method>> = {
    log: line('log'),
    info: line('log'),
    debug: line('log'),
    dir: (value) => print('log', formatLine([value])),
    warn: line('warn'),
    error: line('error'),
    trace: line('error'),
    table: (data) => print('log', formatTable(data)),
    assert: (condition, ...values) => {
      if (!condition) print('error', formatLine(['Assertion failed', ...values]));
    },
    group: open,
    groupCollapsed: open,
    groupEnd: () => {
      indent = indent.slice(2);
    },
    count: (label = 'default') => {
      const count = (counts.get(String(label)) ?? 0) + 1;
      counts.set(String(label), count);
      print('log', `${String(label)}: ${count}`);
    },
  };
  Object.assign(target, replaced);
}
