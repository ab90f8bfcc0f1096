import { moduleUrls } from '../playground/modules.js';

describe('The modules of the sandbox', () => {
  it('import each other by URL, in the order of their dependencies', () => {
    const created: { readonly code: string; readonly name: string }[] = [];
    const urls = moduleUrls(
      {
        imports: { sluice: 'sluice.js', rxjs: 'rxjs.js' },
        modules: [
          { name: 'chunk-A1.js', code: 'export const a=1;' },
          { name: 'rxjs.js', code: 'export{a}from"./chunk-A1.js";' },
          { name: 'sluice.js', code: 'import"./chunk-A1.js";import{a}from"./rxjs.js";const text="./other.js";' },
        ],
      },
      (code, name) => {
        created.push({ code, name });
        return `blob:${created.length}`;
      },
    );
    expect(urls).toEqual({ sluice: 'blob:3', rxjs: 'blob:2' });
    expect(created).toEqual([
      { name: 'node_modules/chunk-A1.js', code: 'export const a=1;' },
      { name: 'node_modules/rxjs.js', code: 'export{a}from"blob:1";' },
      { name: 'node_modules/sluice.js', code: 'import"blob:1";import{a}from"blob:2";const text="./other.js";' },
    ]);
  });

  it('must all be there', () => {
    expect(() => moduleUrls({ imports: { rxjs: 'rxjs.js' }, modules: [] }, () => '')).toThrow(
      'Expected a module rxjs.js for rxjs',
    );
  });
});
