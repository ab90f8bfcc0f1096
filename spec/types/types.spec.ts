import path from 'node:path';
import { compile } from '../support/compile.js';

describe('Types', () => {
  it.each([
    'typed-events.ts',
    'typed-processing.ts',
    'typed-administration.ts',
    'typed-interceptors.ts',
    'typed-schemas.ts',
  ])('compile as declared: %s', (file) => {
    expect(compile([path.join(__dirname, file)])).toEqual([]);
  });
});
