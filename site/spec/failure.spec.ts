import { describeFailure, lineIn } from '../playground/failure';

const URL = 'blob:null/1234-5678';
const LIBRARY = 'blob:null/8765-4321';

/** The stack of an error that the line 3 throws, in the library called by it or in the program itself. */
const stacks: Readonly<Record<string, (message: string) => string>> = {
  Chromium: (message) => `Error: ${message}
    at publish (node_modules/sluice.js:10:5)
    at async Order.handle [as run] (playground.ts:3:9)
    at playground.ts:7:1`,
  'Chromium, without sourceURL': (message) => `Error: ${message}
    at publish (${LIBRARY}:10:5)
    at async Order.handle (${URL}:3:9)
    at ${URL}:7:1`,
  'Chromium, in eval': (message) => `Error: ${message}
    at eval (eval at run (playground.ts:3:9), <anonymous>:12:5)
    at playground.ts:7:1`,
  Firefox: () => `publish@node_modules/sluice.js:10:5
async*run@${URL}:3:9
@${URL}:7:1
`,
  'Firefox, with sourceURL': () => `publish@${LIBRARY}:10:5
handle/<@playground.ts:3:9
@playground.ts:7:1
`,
  Safari: () => `publish@node_modules/sluice.js:10:5
run@playground.ts:3:9
module code@playground.ts:7:1
@`,
  'Safari, without sourceURL': () => `publish@${LIBRARY}:10:5
run@${URL}:3:9
module code@${URL}:7:1`,
  'a stack without columns': (message) => `Error: ${message}
run@playground.ts:3
playground.ts:7`,
};

describe.each(Object.entries(stacks))('the line in a stack of %s', (_name, stackOf) => {
  it.each([
    'failed',
    '',
    'run',
    'publish',
    ': ',
    '3:9',
    'playground.ts:3:9',
    'playground',
    `at ${URL}:5:1`,
    'a\n    at playground.ts:99:1\nb',
  ])('is that of the innermost frame of the program, for the message %j', (message) => {
    expect(lineIn(stackOf(message), message, URL)).toBe(3);
  });
});

describe('the line in a stack', () => {
  it.each([
    '',
    'Error: failed',
    `Error: failed\n    at publish (${LIBRARY}:10:5)`,
    'Error: failed\n    at node_modules/sluice.js:10:5',
    'Error: failed\n    at playground.ts',
    'Error: failed\n    at playground.ts:x',
    'Error: playground.ts:3:1 failed',
  ])('is undefined if the program is not in it: %j', (stack) => {
    const message = stack.startsWith('Error: playground') ? 'playground.ts:3:1 failed' : 'failed';
    expect(lineIn(stack, message, URL)).toBeUndefined();
  });

  it('is found if the message was changed later', () => {
    expect(lineIn('Error: first\n    at playground.ts:3:9', 'second', URL)).toBe(3);
  });

  it('is found below the name of another class', () => {
    expect(lineIn('OrderError: a:\nb\n    at playground.ts:3:9', 'a:\nb', URL)).toBe(3);
  });
});

function thrown(error: Error, stack: string): Error {
  Object.defineProperty(error, 'stack', { value: stack });
  return error;
}

describe('what a program throws', () => {
  it('is cut if its message is very long', () => {
    const { message } = describeFailure(new Error('x'.repeat(1_000_000)), URL);
    expect(message).toMatch(/^Error: x+…$/);
    expect(message.length).toBe(5_001);
  });

  it('is an error with its cause and its line', () => {
    const error = Object.assign(new TypeError('bad', { cause: new Error('worse') }), { id: 7 });
    expect(describeFailure(thrown(error, 'TypeError: bad\n    at playground.ts:12:3'), URL)).toEqual({
      message: 'TypeError: bad (cause: Error: worse)',
      line: 12,
    });
  });

  it('is an error of another place, without a line', () => {
    expect(describeFailure(thrown(new Error('bad'), 'Error: bad'), URL)).toEqual({ message: 'Error: bad' });
  });

  it.each<[unknown, string]>([
    ['text', "Uncaught 'text'"],
    [{ id: 1 }, 'Uncaught { id: 1 }'],
    [undefined, 'Uncaught undefined'],
    [null, 'Uncaught null'],
    [Symbol('s'), 'Uncaught Symbol(s)'],
  ])('is no error: %p', (value, message) => {
    expect(describeFailure(value, URL)).toEqual({ message });
  });

  it.each<[string, () => unknown]>([
    ['a stack', () => Object.defineProperty(new Error('bad'), 'stack', { get: fails })],
    ['a message', () => Object.defineProperty(new Error('bad'), 'message', { get: fails })],
    ['a message that is no text', () => Object.assign(new Error('bad'), { message: Symbol('s') })],
    ['a cause', () => Object.defineProperty(new Error('bad'), 'cause', { get: fails })],
    ['a proxy', () => new Proxy(new Error('bad'), { get: fails })],
    ['its prototype', () => new Proxy({}, { getPrototypeOf: fails })],
  ])('is described even if it throws itself: %s', (_name, create) => {
    expect(typeof describeFailure(create(), URL).message).toBe('string');
  });
});

function fails(): never {
  throw new Error('it throws');
}
