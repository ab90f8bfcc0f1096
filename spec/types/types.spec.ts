import path from 'node:path';
import { compile } from '../support/compile.js';

describe('the types', () => {
  it('check the key with its payload, narrow, and refuse what is wrong', () => {
    expect(compile([path.join(__dirname, 'typed-events.ts')])).toEqual([]);
  });
});
