import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { ROOT } from '../../../spec/support/root.js';

/** Where VitePress writes the site. */
export const DIST = path.join(ROOT, 'site/.vitepress/dist');

/** Reads a file of the built site. */
export function readBuilt(file: string): string {
  return readFileSync(path.join(DIST, file), 'utf8');
}

/** Lists the files of the built site, with slashes. */
function builtFiles(): readonly string[] {
  if (!existsSync(path.join(DIST, 'index.html')))
    throw new Error(`Expected the built site in ${DIST}. Run \`npm run site\` first.`);
  return readdirSync(DIST, { recursive: true, encoding: 'utf8' }).map((file) => file.replaceAll(path.sep, '/'));
}

/** Lists the pages, such as `guides/memory.html`, except the page for what does not exist. */
export function builtPages(): readonly string[] {
  return builtFiles()
    .filter((file) => file.endsWith('.html') && file !== '404.html')
    .toSorted();
}

/** Returns the path of the built site's start page, such as `/sluice/`: its assets tell it. */
export function builtBase(): string {
  const base = /(?:href|src)="([^":]*\/)assets\/[^"]+"/.exec(readBuilt('index.html'))?.[1];
  if (base === undefined) throw new Error('Expected index.html of the built site to load an asset');
  return base;
}

/** Returns the path of a page below the base, as links name it: `index.html` is left out. */
export function pathOf(page: string): string {
  return page.replace(/(^|\/)index\.html$/, '$1');
}

/** Returns the title of a page. */
export function titleOf(page: string): string {
  const title = /<title>([^<]+)<\/title>/.exec(readBuilt(page))?.[1];
  if (title === undefined) throw new Error(`Expected ${page} of the built site to have a title`);
  const characters: Readonly<Record<string, string>> = { amp: '&', lt: '<', gt: '>', quot: '"', '#39': "'" };
  return title.replaceAll(/&(amp|lt|gt|quot|#39);/g, (_, name: string) => characters[name] ?? '');
}
