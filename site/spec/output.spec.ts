import { captureConsole, MOST_LINES, Output } from '../playground/output.js';
import type { OutputLine } from '../playground/protocol.js';

let real: number;
let sent: { readonly lines: readonly OutputLine[]; readonly omitted: number }[];
let output: Output;
beforeEach(() => {
  real = 1000;
  sent = [];
  output = new Output(
    () => 250,
    () => real,
    (lines, omitted) => sent.push({ lines, omitted }),
  );
});

const texts = () => sent.flatMap(({ lines }) => lines.map(({ text }) => text));

describe('The output of a program', () => {
  it('is sent in batches, and at once after a while', () => {
    for (let line = 0; line < 10; line++) output.print('log', String(line));
    expect(texts()).toEqual(['0']);
    real += 1000;
    output.print('warn', 'later');
    expect(sent).toHaveLength(2);
    expect(texts()).toHaveLength(11);
    expect(sent[1]?.lines.at(-1)).toEqual({ level: 'warn', text: 'later', now: 250 });
    for (let line = 0; line < 250; line++) output.print('log', String(line));
    expect(sent).toHaveLength(4);
    output.flush();
    expect(texts()).toHaveLength(261);
    output.flush();
    expect(sent).toHaveLength(5);
  });

  it('is limited, and tells how much was left out', () => {
    for (let line = 0; line < MOST_LINES + 500; line++) output.print('log', String(line));
    output.flush();
    expect(texts()).toHaveLength(MOST_LINES);
    expect(sent.at(-1)?.omitted).toBe(500);
    expect(output.pending).toBe(false);
    output.print('log', 'more');
    expect(output.pending).toBe(true);
    output.flush();
    expect(sent.at(-1)).toEqual({ lines: [], omitted: 501 });
  });

  it('cuts long lines', () => {
    output.print('log', 'x'.repeat(1_000_000));
    expect(texts()[0]?.length).toBeLessThan(30_000);
  });

  it('comes from the console', () => {
    const target = {} as Console;
    captureConsole(target, output);
    target.log('a %s', 'b', { c: 1 });
    target.error(new Error('d'));
    target.group('group');
    target.info('e\nf');
    target.groupEnd();
    target.assert(true, 'no');
    target.assert(false, 'yes');
    target.count();
    target.count();
    target.table([{ id: 1 }]);
    output.flush();
    expect(sent.flatMap(({ lines }) => lines.map(({ level, text }) => `${level} ${text}`))).toEqual([
      'log a b { c: 1 }',
      'error Error: d',
      'log group',
      'log   e\n  f',
      'error Assertion failed yes',
      'log default: 1',
      'log default: 2',
      'log (index)  id\n-------  --\n0        1',
    ]);
  });
});
