import { builtBase, builtPages, pathOf } from '../support/built-site.js';
import { describeWithSite } from '../support/describe-with-site.js';

/** What the tests read from a page that was built. */
interface Parsed {
  readonly path: string;
  readonly lang: string;
  readonly title: string;
  readonly headings: readonly string[];
  readonly ids: readonly string[];
  readonly links: readonly string[];
  readonly loads: readonly string[];
}

describeWithSite('The built pages', (site) => {
  let pages: readonly Parsed[];

  beforeAll(async () => {
    const { page } = await site.tab();
    // An empty page of the same origin, which may read the others.
    await page.route('**/empty', (route) => route.fulfill({ body: '<html></html>', contentType: 'text/html' }));
    await page.goto(site.server.url('empty'));
    const parsed = await page.evaluate(
      async (files) => {
        const pages = [];
        for (const { path, url } of files) {
          const html = await (await fetch(url)).text();
          const parsed = new DOMParser().parseFromString(html, 'text/html');
          const all = <T>(selector: string, read: (element: Element) => T) =>
            [...parsed.querySelectorAll(selector)].map(read);
          pages.push({
            path,
            lang: parsed.documentElement.lang,
            title: parsed.title,
            headings: all('h1', ({ textContent }) => textContent?.trim() ?? ''),
            ids: all('[id]', ({ id }) => id),
            links: all('a[href]', (link) => link.getAttribute('href') ?? ''),
            loads: all('script[src], link[href], img[src]', (element) => {
              return element.getAttribute('src') ?? element.getAttribute('href') ?? '';
            }),
          });
        }
        // As one text, which passes to this process much faster than so many objects.
        return JSON.stringify(pages);
      },
      builtPages().map((file) => ({ path: pathOf(file), url: site.server.url(pathOf(file)) })),
    );
    pages = JSON.parse(parsed);
  });

  const base = builtBase();
  const root = new URL(`http://site${base}`);

  it('each have a title, a language and one heading with text', () => {
    expect(pages.length).toBeGreaterThan(40);
    const wrong = pages.filter(({ path, title, lang, headings }) => {
      // The playground is drawn in the browser, with its heading.
      const isComplete =
        path === 'playground.html' ? headings.length === 0 : headings.length === 1 && headings[0] !== '';
      return !title || lang !== 'en' || !isComplete;
    });
    expect(wrong.map(({ path, title, lang, headings }) => ({ path, title, lang, headings }))).toEqual([]);
  });

  it('have no id twice', () => {
    const twice = pages.flatMap(({ path, ids }) =>
      ids.filter((id, index) => ids.indexOf(id) !== index).map((id) => `${path}#${id}`),
    );
    expect(twice).toEqual([]);
  });

  it('link only to pages and places that exist', () => {
    const idsOf = new Map(pages.map(({ path, ids }) => [new URL(path, root).pathname, new Set(ids)]));
    let followed = 0;
    const dead = pages.flatMap(({ path, links }) => {
      const from = new URL(path, root);
      return links
        .filter((link) => {
          const { origin, pathname, hash } = new URL(link, from);
          if (origin !== root.origin) return false;
          followed += 1;
          const ids = idsOf.get(pathname.replace(/\/index\.html$/, '/'));
          const fragment = decodeURIComponent(hash.slice(1));
          // The playground reads its own fragments.
          const isProgram = /^(code|example)=/.test(fragment) && pathname.includes('playground');
          return ids === undefined || (fragment !== '' && !isProgram && !ids.has(fragment));
        })
        .map((link) => `${path} -> ${link}`);
    });
    expect(dead).toEqual([]);
    expect(followed).toBeGreaterThan(pages.length);
  });

  it('stay below the base path', () => {
    const outside = pages.flatMap(({ path, links, loads }) =>
      [...links, ...loads]
        .filter((url) => url.startsWith('/') && !url.startsWith(base))
        .map((url) => `${path} -> ${url}`),
    );
    expect(outside).toEqual([]);
  });

  it('load nothing from another host', () => {
    const foreign = pages.flatMap(({ path, loads }) =>
      loads.filter((url) => /^(https?:)?\/\//.test(url)).map((url) => `${path} -> ${url}`),
    );
    expect(foreign).toEqual([]);
  });
});
