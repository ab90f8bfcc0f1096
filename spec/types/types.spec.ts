import path from 'node:path';
import { compile } from '../support/compile.js';

describe('the types', () => {
  it.each(['typed-events.ts', 'typed-processing.ts', 'typed-administration.ts'])('compile as declared: %s', (file) => {
    expect(compile([path.join(__dirname, file)])).toEqual([]);
  });
});
