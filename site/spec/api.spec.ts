import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import ts from 'typescript';

const root = path.resolve(__dirname, '../..');
const manifest = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8'));

const entries = Object.entries<string | { readonly import: { readonly default: string } }>(manifest.exports).flatMap(
  ([subpath, target]) => {
    if (typeof target !== 'object') return [];
    const source = target.import.default.replace(/^\.\/dist\/(.+)\.js$/, 'src/$1.ts');
    return [{ name: path.posix.join(manifest.name, subpath), source }];
  },
);

const out = mkdtempSync(path.join(tmpdir(), 'sluice-api-'));
const pages = new Map<string, string>();

beforeAll(async () => {
  await promisify(execFile)(process.execPath, [path.join(root, 'site/build/api.mjs'), out]);
  for (const file of readdirSync(out, { recursive: true, encoding: 'utf8' }))
    if (file.endsWith('.md')) pages.set(file.replaceAll(path.sep, '/'), readFileSync(path.join(out, file), 'utf8'));
});

afterAll(() => rmSync(out, { recursive: true, force: true }));

/** The text of a page without its code. */
const proseOf = (text: string) => text.replaceAll(/^```[\s\S]*?^```|`[^`\n]+`/gm, '');

/** The anchors that VitePress gives the headings, and those of rows. */
function anchorsOf(text: string): string[] {
  const seen = new Map<string, number>();
  const headings = [...text.matchAll(/^#+ (.+)$/gm)].map(([, heading = '']) => {
    const slug = heading
      .toLowerCase()
      .replaceAll(/[^\w]+/g, '-')
      .replaceAll(/^-|-$/g, '');
    const count = seen.get(slug) ?? 0;
    seen.set(slug, count + 1);
    return count === 0 ? slug : `${slug}-${count}`;
  });
  return [...headings, ...[...text.matchAll(/<a id="([^"]+)">/g)].map(([, id = '']) => id)];
}

interface SidebarItem {
  readonly link?: string;
  readonly items?: readonly SidebarItem[];
}

const linksIn = (items: readonly SidebarItem[]): string[] =>
  items.flatMap((item) => [...(item.link === undefined ? [] : [item.link]), ...linksIn(item.items ?? [])]);

const parse = (file: string) =>
  ts.createSourceFile(file, readFileSync(file, 'utf8'), ts.ScriptTarget.Latest, true).statements;

/** The members of the interfaces that an entry exports, and whose names end with `Options`. */
function optionsOf(entry: string): [name: string, members: string[]][] {
  return parse(entry).flatMap((statement) => {
    if (!ts.isExportDeclaration(statement) || !statement.exportClause || !ts.isNamedExports(statement.exportClause))
      return [];
    const names = statement.exportClause.elements.map(({ name }) => name.text).filter((name) => /Options$/.test(name));
    const from = (statement.moduleSpecifier as ts.StringLiteral).text.replace(/\.js$/, '.ts');
    return parse(path.join(path.dirname(entry), from))
      .filter((declaration) => ts.isInterfaceDeclaration(declaration))
      .filter(({ name }) => names.includes(name.text))
      .map(({ name, members }): [string, string[]] => [
        name.text,
        members.map((member) => member.name?.getText() ?? ''),
      ]);
  });
}

describe('The pages of the API', () => {
  it('exist for every entry of the package', () => {
    for (const { name } of entries)
      expect(pages.get(`${name}/index.md`)).toMatch(new RegExp(`^# ${name}\n\n[A-Z][^#]+\\.\n\n## `, 'm'));
  });

  it('have a heading for every option', () => {
    const byName = new Map([...pages].map(([file, text]) => [path.posix.basename(file, '.md'), text]));
    const documented = entries.flatMap(({ source }) => optionsOf(path.join(root, source)));
    expect(documented.map(([name]) => name)).toEqual(
      expect.arrayContaining(['HandleOptions', 'MemoryBackendOptions', 'RedisBackendOptions', 'PublishOptions']),
    );
    for (const [name, members] of documented) {
      const headings = [...(byName.get(name) ?? '').matchAll(/^### (\w+)\??(?:\(\))?$/gm)].map(
        ([, heading]) => heading,
      );
      expect([name, headings]).toEqual([name, expect.arrayContaining(members)]);
    }
  });

  it('have the options of all engines on the page of each engine', () => {
    const shared = anchorsOf(pages.get('sluice/driver/interfaces/DriverOptions.md') ?? '');
    expect(shared).toContain('lease');
    expect(anchorsOf(pages.get('sluice/redis/interfaces/RedisBackendOptions.md') ?? '')).toEqual(
      expect.arrayContaining(['url', 'client', 'lease', 'publishtimeout']),
    );
  });

  it('link to pages and headings that exist', () => {
    let links = 0;
    for (const [file, text] of pages) {
      for (const [, target = '', anchor] of proseOf(text).matchAll(/\]\(([^)#\s]*)(?:#([^)\s]+))?\)/g)) {
        if (/^https?:/.test(target)) continue;
        links++;
        const page = target === '' ? file : path.posix.join(path.posix.dirname(file), target);
        expect([file, target, pages.has(page)]).toEqual([file, target, true]);
        if (anchor !== undefined) expect(anchorsOf(pages.get(page) ?? '')).toContain(anchor);
      }
    }
    expect(links).toBeGreaterThan(1000);
  });

  it('document each public name once', () => {
    const members = [...pages.keys()]
      .filter((file) => !file.endsWith('index.md'))
      .map((file) => path.posix.basename(file));
    expect(members.length).toBe(new Set(members).size);
  });

  it('show what stands behind names that are not public', () => {
    expect(pages.get('sluice/type-aliases/MemoryOverflow.md')).toMatch(/\*\*MemoryOverflow\*\* = .*`"drop-oldest"`/);
    expect(pages.get('sluice/functions/handle.md')).toContain('`TypeError` or `RangeError` if the handler');
    expect(pages.get('sluice/redis/classes/RedisBackend.md')).toContain(
      '[QueueClosedError](../../classes/QueueClosedError.md) after `close()`',
    );
  });

  it('contain nothing that Vue would evaluate, and no path of this machine', () => {
    for (const [file, text] of pages) {
      expect([file, proseOf(text)]).toEqual([file, expect.not.stringMatching(/\{\{|(?<!\\)<(?!\/?a\b)[a-z]/i)]);
      expect([file, text.includes(root)]).toEqual([file, false]);
    }
  });

  it('are all in the sidebar', () => {
    const sidebar = JSON.parse(readFileSync(path.join(out, 'typedoc-sidebar.json'), 'utf8'));
    const links = linksIn(sidebar);
    const files = links.map((link) =>
      link
        .replace(/^\/api\//, '')
        .replace(/\/$/, '/index')
        .concat('.md'),
    );
    expect(new Set(files)).toEqual(new Set([...pages.keys()].filter((file) => file !== 'index.md')));
    expect(existsSync(path.join(out, 'index.md'))).toBe(true);
  });
});
