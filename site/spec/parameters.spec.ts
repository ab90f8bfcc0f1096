import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { labelOf, parametersOf, withParameter } from '../picture/parameters';
import { runProgram } from './virtual-program';

const PROGRAM = `import { MemoryBackend } from 'sluice';

const prefetch = 4; // 1 to 8
const maxWait = 2_000; // 200 to 4_000, milliseconds
const failures = 30; // 0 to 100, percent
const order: 'key' | 'none' = 'key'; // 'key' or 'none'
const policy = 'wait'; // 'wait', 'error' or 'drop-oldest'
const durable = true; // true or false
const other = 5; // How many there are.
const queue = new MemoryBackend({ name: 'orders' });
  const inner = 1; // 0 to 3
`;

describe('parametersOf', () => {
  it('finds the constants whose comments say what they may be', () => {
    expect(parametersOf(PROGRAM)).toEqual([
      { name: 'prefetch', line: 2, kind: 'number', value: 4, least: 1, most: 8, unit: '' },
      { name: 'maxWait', line: 3, kind: 'number', value: 2000, least: 200, most: 4000, unit: 'milliseconds' },
      { name: 'failures', line: 4, kind: 'number', value: 30, least: 0, most: 100, unit: 'percent' },
      { name: 'order', line: 5, kind: 'choice', value: 'key', choices: ['key', 'none'] },
      { name: 'policy', line: 6, kind: 'choice', value: 'wait', choices: ['wait', 'error', 'drop-oldest'] },
      { name: 'durable', line: 7, kind: 'flag', value: true },
    ]);
  });

  it('ignores a choice that its comment does not list', () => {
    expect(parametersOf("const order = 'other'; // 'key' or 'none'\nconst one = 'key'; // 'key'")).toEqual([]);
  });

  it('names a parameter in words', () => {
    expect(parametersOf(PROGRAM).map(labelOf)).toEqual([
      'prefetch',
      'max wait',
      'failures',
      'order',
      'policy',
      'durable',
    ]);
  });
});

describe('withParameter', () => {
  it.each([
    ['prefetch', 7, 'const prefetch = 7; // 1 to 8'],
    ['maxWait', 500, 'const maxWait = 500; // 200 to 4_000, milliseconds'],
    ['order', 'none', "const order: 'key' | 'none' = 'none'; // 'key' or 'none'"],
    ['durable', false, 'const durable = false; // true or false'],
  ])('changes only the value of %s', (name, value, line) => {
    const [before, after] = [PROGRAM.split('\n'), withParameter(PROGRAM, name, value).split('\n')];
    expect(after.filter((text, index) => text !== before[index])).toEqual([line]);
    expect(parametersOf(after.join('\n')).find((one) => one.name === name)?.value).toBe(value);
  });

  it.each([
    ['prefetch', 9, 'Expected `prefetch` to be a number from 1 to 8, got 9'],
    ['prefetch', 'x', 'Expected `prefetch` to be a number from 1 to 8, got "x"'],
    ['order', 'other', 'Expected `order` to be one of key, none, got "other"'],
    ['durable', 1, 'Expected `durable` to be true or false, got 1'],
    ['other', 1, 'Expected a parameter of the program, got "other"'],
  ])('refuses another value of %s', (name, value, message) => {
    expect(() => withParameter(PROGRAM, name, value)).toThrow(new RangeError(message));
  });
});

describe('the parameters of the examples', () => {
  const folder = path.join(__dirname, '..', 'examples');
  const cases = readdirSync(folder)
    .filter((file) => file.endsWith('.ts') && file !== 'index.ts')
    .flatMap((file) => {
      const code = readFileSync(path.join(folder, file), 'utf8');
      const parameters = parametersOf(code);
      expect(parameters.length).toBeGreaterThan(0);
      return parameters.flatMap((parameter) => {
        const values =
          parameter.kind === 'number'
            ? [parameter.least, parameter.most]
            : parameter.kind === 'choice'
              ? parameter.choices
              : [true, false];
        return values.map((value) => ({ file, name: parameter.name, value, code }));
      });
    });

  it.each(cases)('$file ends by itself with $name = $value', async ({ code, name, value }) => {
    const { snapshots, timers, duration } = await runProgram(withParameter(code, name, value), true);
    expect(timers).toBe(0);
    expect(snapshots.at(-1)?.queues.map(({ unfinished, closed }) => ({ unfinished, closed }))).toEqual(
      snapshots.at(-1)?.queues.map(() => ({ unfinished: 0, closed: true })),
    );
    expect(duration).toBeLessThanOrEqual(60_000);
  });
});
