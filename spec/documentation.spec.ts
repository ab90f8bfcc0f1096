import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { bundleCodeBlocks, extractCodeBlocks, runCodeBlock } from './support/code-blocks.js';
import { compile } from './support/compile.js';
import { ROOT } from './support/root.js';

const guides = readdirSync(path.join(ROOT, 'docs/guides')).map((file) => `docs/guides/${file}`);
const pages = ['README.md', ...guides];
const blocks = extractCodeBlocks(pages);
const programs = blocks.filter(({ runs }) => runs);

/** What a page links to in the project: files, with the headings that are meant. */
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

/** The headings of a page, as a link names them. */
function anchorsOf(file: string): string[] {
  return [...readFileSync(file, 'utf8').matchAll(/^#+ (.*)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N}_\- ]/gu, '')
      .replaceAll(' ', '-'),
  );
}

describe('the code of the documentation', () => {
  beforeAll(() => bundleCodeBlocks(programs));

  it('compiles', () => {
    expect(
      compile(
        blocks.map(({ file }) => file),
        { noUnusedLocals: false },
      ),
    ).toEqual([]);
  });

  it.each(programs)('runs and ends by itself: $page, line $line', async (program) => {
    const { code, stdout, stderr } = await runCodeBlock(program);
    if (program.output === undefined)
      expect([code, stdout + stderr]).toEqual([0, expect.not.stringContaining('Error')]);
    else expect([code, stdout, code === 0 ? '' : stderr]).toEqual([0, program.output, '']);
  });

  it('has the `replay` of the example', () => {
    const replayOf = (text: string) => /^(?:export )?(async function replay\(.*?^\})$/ms.exec(text)?.[1];
    const [page, example] = ['docs/guides/retries-and-dead-letters.md', 'examples/replay.ts'].map((file) =>
      readFileSync(path.join(ROOT, file), 'utf8'),
    );
    expect(replayOf(page ?? '')).toEqual(expect.stringContaining('failed.stats()'));
    expect(replayOf(page ?? '')).toBe(replayOf(example ?? ''));
  });

  it('prints what the first program of the README says it prints', async () => {
    const [first] = programs.filter(({ page }) => page === 'README.md');
    expect(first && (await runCodeBlock(first)).stdout).toBe("{ text: 'hello' }\n{ text: 'world' }\n");
  });
});

describe('the pages of the documentation', () => {
  it.each(pages)('%s links to what there is', (page) => {
    const dead = linksOf(page).filter(
      ({ file, anchor }) => !existsSync(file) || (anchor !== undefined && !anchorsOf(file).includes(anchor)),
    );
    expect(dead.map(({ link }) => link)).toEqual([]);
  });

  it('are all in the index of the guides', () => {
    const listed = linksOf('docs/guides/README.md').map(({ file }) => path.relative(ROOT, file));
    expect(guides.filter((guide) => !listed.includes(guide))).toEqual(['docs/guides/README.md']);
  });
});
