/**
 * Fails if a link of the built site leads nowhere: to a page, a file or an anchor that does not
 * exist. VitePress itself checks neither anchors nor links in the navigation.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';

const dist = path.resolve(import.meta.dirname, '../.vitepress/dist');
const base = process.env.SITE_BASE ?? '/';

const pages = new Map(
  readdirSync(dist, { recursive: true })
    .filter((file) => file.endsWith('.html'))
    .map((file) => [`/${file.replaceAll(path.sep, '/')}`, readFileSync(path.join(dist, file), 'utf8')]),
);

const decode = (text) => text.replaceAll('&amp;', '&').replaceAll('&quot;', '"').replaceAll('&#39;', "'");
const attributes = (html, name) =>
  [...html.matchAll(new RegExp(`\\s${name}="([^"]*)"`, 'g'))].map(([, value]) => decode(value));

const anchors = new Map([...pages].map(([page, html]) => [page, new Set(attributes(html, 'id'))]));

/** Says what is wrong with a link of a page, or nothing. */
function fault(page, href) {
  const { host, pathname, hash } = new URL(href, `http://site${base}${page.slice(1)}`);
  if (host !== 'site') return undefined;
  if (!pathname.startsWith(base)) return 'is outside of the base path';
  const file = decodeURIComponent(`/${pathname.slice(base.length)}`).replace(/\/$/, '/index.html');
  const target = [file, `${file}.html`].find((name) => pages.has(name));
  if (target === undefined) return existsSync(path.join(dist, file)) ? undefined : 'leads to no page';
  const id = decodeURIComponent(hash.slice(1));
  // The fragment of the playground is its program.
  if (id === '' || target === '/playground.html' || anchors.get(target)?.has(id)) return undefined;
  return 'leads to no anchor';
}

const faults = new Set();
for (const [page, html] of pages) {
  // A link in a script or in code is text.
  const links = [...html.matchAll(/<a\s[^>]*>/g)].flatMap(([tag]) => attributes(tag, 'href'));
  const files = [...html.matchAll(/<(?:link|script|img)\s[^>]*>/g)].flatMap(([tag]) => [
    ...attributes(tag, 'href'),
    ...attributes(tag, 'src'),
  ]);
  for (const href of [...links, ...files]) {
    const problem = fault(page, href);
    if (problem !== undefined) faults.add(`${page}: ${href} ${problem}`);
  }
}

for (const line of faults) console.error(line);
if (faults.size > 0) {
  console.error(`${faults.size} dead links`);
  process.exitCode = 1;
} else console.log(`${pages.size} pages, no dead link`);
