import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import MarkdownIt from 'markdown-it';
import type { MarkdownRenderer } from 'vitepress';
import { catalogue } from '../build/marbles/catalogue.js';
import { describeDiagram } from '../build/marbles/describe.js';
import { type Diagram, readDiagrams, toDiagram } from '../build/marbles/diagrams.js';
import { drawDiagram } from '../build/marbles/draw.js';
import { extractMarbles } from '../build/marbles/extract.js';
import { createMarblesPlugin } from '../build/marbles/plugin.js';

const root = path.resolve(__dirname, '../..');
const names = Object.keys(catalogue);

const TEST = `
describe.each(MODES)('all %s', () => {
  it('emits', () => {
    marbles(({ hot, expectObservable }) => {
      publish(queue, hot('   (ab)--c|'));
      expectObservable(queue).toBe('-x---(y|)', { x: ['a', 'b'], y: 'c3', 7: 7 });
      expect(queue.size).toBe(0);
    });
  });
  it('has none', () => {});
  it('computes its values', () => {
    expectObservable(cold('a')).toBe('a', { a: f() });
  });
  it('is there twice', () => {});
  it('is there twice', () => {});
});
`;

const extract = (title: string) => extractMarbles('some.spec.ts', TEST, title);

/** The diagram of the test above. */
const diagram = (rows: string[] = ['published', 'batches']): Diagram =>
  toDiagram(
    { spec: 'some.spec.ts', test: 'emits', operator: 'f({ a: 1 })', rows, caption: 'A caption.' },
    extract('emits'),
  );

describe('extractMarbles', () => {
  it('reads the strings and values of a test in their order', () => {
    expect(extract('emits')).toEqual([
      { role: 'input', marbles: '   (ab)--c|', values: {} },
      { role: 'output', marbles: '-x---(y|)', values: { x: ['a', 'b'], y: 'c3', 7: 7 } },
    ]);
  });

  it.each([
    ['was renamed', 'Expected one test "was renamed" in some.spec.ts, whose marbles the site shows, got 0'],
    ['is there twice', 'Expected one test "is there twice" in some.spec.ts, whose marbles the site shows, got 2'],
    ['has none', 'Expected the test "has none" in some.spec.ts to have marbles'],
    ['computes its values', 'in the marbles of the test "computes its values" in some.spec.ts, got f()'],
  ])('refuses a test that %s', (title, message) => {
    expect(() => extract(title)).toThrow(message);
  });
});

describe('toDiagram', () => {
  it('gives each marble the frame that the scheduler of the test gives it', () => {
    const [published, batches] = diagram().rows;
    expect(published).toEqual({
      role: 'input',
      label: 'published',
      frames: 7,
      events: [
        { frame: 0, kind: 'next', letter: 'a', value: 'a' },
        { frame: 0, kind: 'next', letter: 'b', value: 'b' },
        { frame: 6, kind: 'next', letter: 'c', value: 'c' },
        { frame: 7, kind: 'complete' },
      ],
    });
    expect(batches?.events).toEqual([
      { frame: 1, kind: 'next', letter: 'x', value: ['a', 'b'] },
      { frame: 5, kind: 'next', letter: 'y', value: 'c3' },
      { frame: 5, kind: 'complete' },
    ]);
  });

  it('refuses a test with more marbles than the catalogue has rows', () => {
    expect(() => diagram(['published'])).toThrow(
      'Expected the test "emits" in some.spec.ts to have 1 marble strings (published), got "(ab)--c|", "-x---(y|)"',
    );
  });
});

describe('A drawing', () => {
  it('says in words what it shows', () => {
    expect(describeDiagram(diagram())).toBe(
      'Marble diagram. published: a at 0 ms, b at 0 ms, c at 6 ms, completes at 7 ms. Then f({ a: 1 }). ' +
        'batches: [a, b] at 1 ms, c3 at 5 ms, completes at 5 ms.',
    );
    expect(drawDiagram(diagram())).toContain('role="img" aria-label="Marble diagram. published: a at 0 ms');
  });

  it('has the texts as texts, and nothing that Vue would evaluate', () => {
    const svg = drawDiagram(diagram());
    for (const text of ['published', 'batches', 'a', 'b', 'c3']) expect(svg).toContain(`>${text}</text>`);
    expect(svg).not.toMatch(/[{}]/);
  });

  it('gives a message the same colour in each row, also in a batch', () => {
    const classes = [...drawDiagram(diagram()).matchAll(/marble-(\d)"><circle[^>]+><text[^>]+>(\w+)/g)];
    expect(classes.map(([, colour, text]) => [text, colour])).toEqual([
      ['a', '0'],
      ['b', '1'],
      ['c', '2'],
      ['a', '0'],
      ['b', '1'],
      ['c3', '3'],
    ]);
  });

  it('draws marbles of one frame below each other, and time from left to right', () => {
    const places = [...drawDiagram(diagram()).matchAll(/<circle cx="([\d.]+)" cy="([\d.]+)"/g)].map(([, x, y]) => [
      Number(x),
      Number(y),
    ]);
    const [a, b, c] = places as [number, number][];
    expect(a?.[0]).toBe(b?.[0]);
    expect(a?.[1]).toBeLessThan(b?.[1] ?? 0);
    expect(b?.[0]).toBeLessThan(c?.[0] ?? 0);
  });
});

describe('The catalogue', () => {
  it.each(names)('fits the tests of %s', (name) => {
    const diagrams = readDiagrams(root, name);
    expect(diagrams.length).toBeGreaterThan(0);
    for (const { rows, caption } of diagrams) {
      expect(rows.map(({ role }) => role)).toEqual(['input', ...rows.slice(1).map(() => 'output')]);
      expect(rows.flatMap(({ events }) => events).length).toBeGreaterThan(2);
      expect(caption).toMatch(/^[A-Z].*\.$/);
    }
  });

  it('has only diagrams that a guide shows', () => {
    const guides = path.join(root, 'docs/guides');
    const texts = readdirSync(guides, { recursive: true, encoding: 'utf8' })
      .filter((file) => file.endsWith('.md'))
      .map((file) => readFileSync(path.join(guides, file), 'utf8'));
    for (const name of names)
      expect(texts.filter((text) => text.includes(`<!-- marbles: ${name} -->`))).toHaveLength(1);
  });
});

describe('marblesPlugin', () => {
  const render = (text: string, file = 'docs/guides/some.md') =>
    new MarkdownIt({ html: true })
      .use(createMarblesPlugin(root) as (md: MarkdownIt | MarkdownRenderer) => void)
      .render(text, { path: path.join(root, file) });

  it('turns the comment into figures', () => {
    const html = render('Text.\n\n<!-- marbles: inBatches -->\n\nMore.\n');
    expect(html.match(/<figure class="marbles" v-pre>.+?<\/figure>/g)).toHaveLength(catalogue.inBatches?.length ?? 0);
    expect(html).toMatch(/<figcaption>The first batch is full\. .+<code>d<\/code>/);
    expect(html).not.toContain('<!--');
  });

  it('leaves other comments as they are', () => {
    expect(render('<!-- picture: retries -->\n')).toBe('<!-- picture: retries -->\n');
  });

  it('puts the figures behind the first paragraph of the page of the function', () => {
    const page = [
      '[API](../index.md) / handle',
      '# handle()',
      '> **handle**(…)',
      'First.',
      '```text\nsource a\noutput a\n```',
      '```ts\ncode();\n```',
    ].join('\n\n');
    const html = render(page, 'site/api/sluice/functions/handle.md');
    expect(html).toMatch(/<p>First\.<\/p>\s*<figure(?:.|\n)+<\/figure>\s*<pre><code class="language-ts">/);
    expect(html).not.toContain('source a');
    for (const file of ['site/api/sluice/functions/route.md', 'site/api/sluice/classes/handle.md', 'docs/handle.md'])
      expect(render(page, file)).not.toContain('<figure');
  });

  it.each([
    ['<!-- marbles: handel -->', /Expected the name of marbles to be one of handle, .+, got "handel"/],
    ['<!-- marbles: toString -->', /got "toString"/],
    ['<!-- marbles handle -->', /Expected a line `<!-- marbles: NAME -->` in .+some\.md, got <!-- marbles handle -->/],
  ])('refuses %s', (text, message) => {
    expect(() => render(`${text}\n`)).toThrow(message);
  });
});
