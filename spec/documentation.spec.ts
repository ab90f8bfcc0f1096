import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { bundleCodeBlocks, extractCodeBlocks, runCodeBlock } from './support/code-blocks.js';
import { compile } from './support/compile.js';
import { ROOT } from './support/root.js';

const pagesIn = (folder: string) => readdirSync(path.join(ROOT, folder)).map((file) => `${folder}/${file}`);

const guides = pagesIn('docs/guides');
const pages = [
  'README.md',
  'CHANGELOG.md',
  'CONTRIBUTING.md',
  'docs/benchmarks.md',
  ...guides,
  ...pagesIn('docs/decisions'),
];
const blocks = extractCodeBlocks(pages);
const programs = blocks.filter(({ runs }) => runs);

/** Lists the links of a page to files of the project, with their anchors. */
function linksOf(
  page: string,
): { readonly link: string; readonly file: string; readonly anchor: string | undefined }[] {
  const text = readFileSync(path.join(ROOT, page), 'utf8');
  return [...text.matchAll(/\]\(((?!https?:)[^)#\s]*)(?:#([^)\s]+))?\)/g)].map(([link, file, anchor]) => ({
    link,
    file: file ? path.join(ROOT, path.dirname(page), file) : path.join(ROOT, page),
    anchor,
  }));
}

/** Lists the anchors of the headings of a page. */
function anchorsOf(file: string): string[] {
  return [...readFileSync(file, 'utf8').matchAll(/^#+ (.*)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N}_\- ]/gu, '')
      .replaceAll(' ', '-'),
  );
}

/** Lists the lines of prose that are too long. Tables and code are exempt. */
function longLines(text: string): string[] {
  return text
    .replaceAll(/^```.*?^```$/gms, '')
    .split('\n')
    .filter((line) => line.length > 120 && !line.startsWith('|'));
}

describe('The code in the documentation', () => {
  beforeAll(() => bundleCodeBlocks(programs));

  it('compiles', () => {
    expect(
      compile(
        blocks.map(({ file }) => file),
        { noUnusedLocals: false },
      ),
    ).toEqual([]);
  });

  it.each(programs)('runs and exits: $page, line $line', async (program) => {
    const { code, stdout, stderr } = await runCodeBlock(program);
    if (program.output === undefined)
      expect([code, stdout + stderr]).toEqual([0, expect.not.stringContaining('Error')]);
    else expect([code, stdout, code === 0 ? '' : stderr]).toEqual([0, program.output, '']);
  });

  it('contains the `replay` function of the example', () => {
    const replayOf = (text: string) => /^(?:export )?(async function replay\(.*?^\})$/ms.exec(text)?.[1];
    const [page, example] = ['docs/guides/retries-and-dead-letters.md', 'examples/replay.ts'].map((file) =>
      readFileSync(path.join(ROOT, file), 'utf8'),
    );
    expect(replayOf(page ?? '')).toEqual(expect.stringContaining('failed.stats()'));
    expect(replayOf(page ?? '')).toBe(replayOf(example ?? ''));
  });

  it('starts with a program that loses no message when its handler throws', () => {
    const [first] = programs.filter(({ page }) => page === 'README.md');
    expect(first?.output).toBe('order 1, attempt 1\norder 1, attempt 2\n');
  });
});

describe('The pages of the documentation', () => {
  it.each(pages)('have no dead link: %s', (page) => {
    const dead = linksOf(page).filter(
      ({ file, anchor }) => !existsSync(file) || (anchor !== undefined && !anchorsOf(file).includes(anchor)),
    );
    expect(dead.map(({ link }) => link)).toEqual([]);
  });

  it('name only files of the project that exist', () => {
    const text = readFileSync(path.join(ROOT, 'CONTRIBUTING.md'), 'utf8');
    const named = [...text.matchAll(/`((?:bench|docs|scripts|spec|src)\/[\w./-]+)`/g)].map(([, file = '']) => file);
    expect(named).toContain('src/backend.ts');
    expect(named.filter((file) => !existsSync(path.join(ROOT, file)))).toEqual([]);
  });

  it('keep the README short', () => {
    expect(readFileSync(path.join(ROOT, 'README.md'), 'utf8').split('\n').length).toBeLessThanOrEqual(250);
  });

  it('have no line of prose with more than 120 columns', () => {
    const tooLong = pages
      .filter((page) => page !== 'docs/benchmarks.md') // Generated in part.
      .flatMap((page) => longLines(readFileSync(path.join(ROOT, page), 'utf8')).map((line) => `${page}: ${line}`));
    expect(tooLong).toEqual([]);
  });

  it('are all listed in the index of the guides', () => {
    const listed = linksOf('docs/guides/README.md').map(({ file }) => path.relative(ROOT, file));
    expect(guides.filter((guide) => !listed.includes(guide))).toEqual(['docs/guides/README.md']);
  });
});
