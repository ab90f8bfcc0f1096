import { existsSync, readdirSync } from 'node:fs';
import path from 'node:path';

/** The root of the repository: the sources of the pages are anywhere in it. */
export const root: string = path.resolve(import.meta.dirname, '../..');

/** Folders of the repository that hold pages, and where their pages are on the site. */
const FOLDERS: Readonly<Record<string, string>> = {
  'site/pages/': '',
  'site/api/': 'api/',
  'docs/': '',
};

/** Pages whose place on the site does not follow from their folder. */
const FILES: Readonly<Record<string, string>> = {
  'README.md': 'start.md',
  'CHANGELOG.md': 'changelog.md',
  'CONTRIBUTING.md': 'contributing.md',
  'site/README.md': 'site.md',
};

/** Folders whose files are shown as source code. */
const SOURCES = ['examples/', 'src/'];

/** Returns where a file of the repository is on the site. Undefined: it is not a page. */
export function pagePath(file: string): string | undefined {
  const single = FILES[file];
  if (single !== undefined) return single;
  if (!file.endsWith('.md')) return sourcePath(file);
  const folder = Object.keys(FOLDERS).find((name) => file.startsWith(name));
  if (folder === undefined) return undefined;
  return `${FOLDERS[folder]}${file.slice(folder.length)}`.replace(/(^|\/)README\.md$/, '$1index.md');
}

function sourcePath(file: string): string | undefined {
  if (!SOURCES.some((folder) => file.startsWith(folder))) return undefined;
  return file.endsWith('.ts') ? `source/${file.replace(/\.ts$/, '.md')}` : undefined;
}

/**
 * Resolves the link of a page, such as `../../examples/quickstart.ts#L3`, to the path of a page on
 * the site. A link to a folder leads to its first file. Returns links that are not relative as they
 * are.
 * @throws {Error} if nothing on the site shows the file
 */
export function resolveLink(from: string, href: string): string {
  if (/^([a-z][a-z+.-]*:|\/|#|$)/i.test(href)) return href;
  const [, target = '', hash = ''] = /^([^#]*)(#.*)?$/.exec(href) ?? [];
  const file = path.posix.join(path.posix.dirname(from), decodeURI(target));
  const page = pagePath(file) ?? firstIn(file);
  if (page === undefined || !existsSync(path.join(root, file)))
    throw new Error(`${from} links to ${href}, which is not a page: expected one of the site or a source file`);
  return `/${page}${hash}`;
}

function firstIn(folder: string): string | undefined {
  if (!SOURCES.includes(`${folder.replace(/\/$/, '')}/`)) return undefined;
  const [first] = readdirSync(path.join(root, folder))
    .filter((name) => name.endsWith('.ts'))
    .sort();
  return first === undefined ? undefined : sourcePath(path.posix.join(folder, first));
}
