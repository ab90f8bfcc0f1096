import { captureConsole, MOST_LINES, Output } from '../playground/output';
import type { OutputLine } from '../playground/protocol';

interface Batch {
  readonly lines: readonly OutputLine[];
  readonly omitted: number;
}

/** An output whose times are set by hand. */
class Printed {
  virtual = 0;
  real = 0;
  readonly batches: Batch[] = [];
  readonly output = new Output(
    () => this.virtual,
    () => this.real,
    (lines, omitted) => this.batches.push({ lines, omitted }),
  );

  print(count: number): void {
    for (let index = 0; index < count; index++) this.output.print('log', `${index}`);
  }

  get sizes(): number[] {
    return this.batches.map(({ lines }) => lines.length);
  }

  get omitted(): number[] {
    return this.batches.map(({ omitted }) => omitted);
  }

  get lines(): OutputLine[] {
    return this.batches.flatMap(({ lines }) => lines);
  }
}

describe('the output', () => {
  it('sends the first line at once, with its level and the virtual time', () => {
    const printed = new Printed();
    printed.virtual = 250;
    printed.output.print('warn', 'careful');
    expect(printed.batches).toEqual([{ lines: [{ level: 'warn', text: 'careful', now: 250 }], omitted: 0 }]);
    expect(printed.output.pending).toBe(false);
  });

  it('collects the lines of 50 real milliseconds', () => {
    const printed = new Printed();
    printed.print(1);
    printed.real = 49;
    printed.virtual = 7;
    printed.print(2);
    expect(printed.sizes).toEqual([1]);
    expect(printed.output.pending).toBe(true);
    printed.real = 50;
    printed.virtual = 8;
    printed.print(1);
    expect(printed.sizes).toEqual([1, 3]);
    // Each has the time at which it was printed, not sent.
    expect(printed.lines.map(({ now }) => now)).toEqual([0, 7, 7, 8]);
    printed.real = 99;
    printed.print(1);
    expect(printed.sizes).toEqual([1, 3]);
  });

  it('sends at most 100 lines at once', () => {
    const printed = new Printed();
    printed.print(250);
    expect(printed.sizes).toEqual([1, 100, 100]);
    printed.output.flush();
    expect(printed.sizes).toEqual([1, 100, 100, 49]);
    expect(printed.lines.slice(1).map(({ text }) => text)).toEqual(
      Array.from({ length: 249 }, (_, index) => `${index + 1}`),
    );
  });

  it('sends nothing twice, and nothing if there is nothing', () => {
    const printed = new Printed();
    printed.output.flush();
    printed.print(2);
    printed.output.flush();
    printed.output.flush();
    expect(printed.sizes).toEqual([1, 1]);
  });

  it('counts what is beyond the limit', () => {
    const printed = new Printed();
    printed.print(MOST_LINES);
    printed.output.flush();
    expect(printed.lines).toHaveLength(MOST_LINES);
    expect(printed.output.pending).toBe(false);
    printed.batches.length = 0;
    // An endless loop of lines still sends something now and then.
    for (printed.real = 1; printed.real <= 200; printed.real++) printed.print(10);
    expect(printed.sizes).toEqual([0, 0, 0, 0]);
    expect(printed.omitted).toEqual([491, 991, 1491, 1991]);
    printed.output.flush();
    printed.output.flush();
    expect(printed.batches.slice(4)).toEqual([{ lines: [], omitted: 2000 }]);
  });

  it('sends the rest of the lines together with the count', () => {
    const printed = new Printed();
    printed.print(MOST_LINES + 5);
    printed.output.flush();
    expect(printed.lines).toHaveLength(MOST_LINES);
    expect(printed.omitted.at(-1)).toBe(5);
    expect(printed.output.pending).toBe(false);
  });

  it('cuts long lines', () => {
    const printed = new Printed();
    printed.output.print('log', 'x'.repeat(20_000));
    printed.output.print('log', `${'x'.repeat(20_000)}yz`);
    printed.output.flush();
    expect(printed.lines.map(({ text }) => [text.length, text.at(-1)])).toEqual([
      [20_000, 'x'],
      [20_001, '…'],
    ]);
  });
});

describe('the console', () => {
  /** What a program prints: the first letter of the level, and the text. */
  function printedBy(program: (console: Console) => void): string[] {
    const printed = new Printed();
    const target = {} as Console;
    captureConsole(target, printed.output);
    program(target);
    printed.output.flush();
    return printed.lines.map(({ level, text }) => `${level[0]} ${text}`);
  }

  it('has the levels of its methods', () => {
    expect(
      printedBy((console) => {
        console.log('log', 1, { id: 2 });
        console.info('info');
        console.debug('debug');
        console.warn('warn');
        console.error('error');
        console.trace('trace');
        console.log();
        console.log('%s is %d', 'one', 1, 2);
      }),
    ).toEqual(['l log 1 { id: 2 }', 'l info', 'l debug', 'w warn', 'e error', 'e trace', 'l ', 'l one is 1 2']);
  });

  it('prints failed assertions only', () => {
    expect(
      printedBy((console) => {
        console.assert(true, 'fine');
        console.assert(false, 'value', 3);
        console.assert(false);
      }),
    ).toEqual(['e Assertion failed value 3', 'e Assertion failed']);
  });

  it('indents groups, also their lines', () => {
    expect(
      printedBy((console) => {
        console.group('outer', 1);
        console.warn('a\nb');
        console.groupCollapsed();
        console.log('c');
        console.groupEnd();
        console.table([1]);
        console.groupEnd();
        console.groupEnd();
        console.log('d');
      }),
    ).toEqual(['l outer 1', 'w   a\n  b', 'l     c', 'l   (index)  Values\n  -------  ------\n  0        1', 'l d']);
  });

  it('counts by label', () => {
    expect(
      printedBy((console) => {
        console.count();
        console.count('a');
        console.count('default');
        console.count('a');
      }),
    ).toEqual(['l default: 1', 'l a: 1', 'l default: 2', 'l a: 2']);
  });

  it('shows strings and options of `dir` as values', () => {
    expect(printedBy((console) => console.dir({ a: 'b' }, { depth: 0 }))).toEqual(["l { a: 'b' }"]);
  });

  it('keeps the methods that print nothing', () => {
    const printed = new Printed();
    const target = { time: jest.fn(), log: jest.fn() } as unknown as Console;
    const { time, log } = target;
    captureConsole(target, printed.output);
    expect(target.time).toBe(time);
    expect(target.log).not.toBe(log);
  });

  it('never throws for what it prints', () => {
    const bad = new Proxy(
      {},
      {
        ownKeys: () => {
          throw new Error('it throws');
        },
      },
    );
    const lines = printedBy((console) => {
      console.log(bad);
      console.table(bad);
      console.table([bad]);
      console.log('%d', Symbol('s'));
      console.log('%i', Object.create(null));
      console.error('%s', bad);
    });
    expect(lines.filter((line) => line.includes('[not shown: Error: it throws]'))).toHaveLength(4);
    expect(lines.slice(3, 5)).toEqual(['l NaN', 'l NaN']);
  });
});
