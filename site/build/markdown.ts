import path from 'node:path';
import type { MarkdownEnv, MarkdownRenderer } from 'vitepress';
import { resolveLink, root } from './page-paths.js';

/** Returns the source of the page that is rendered, as a path in the repository. */
function sourceOf(env: Pick<MarkdownEnv, 'path' | 'realPath'>): string {
  return path.relative(root, env.realPath ?? env.path).replaceAll(path.sep, '/');
}

/**
 * Makes the links of the pages lead to pages of the site. In their sources they lead from file to
 * file, so that they work in a clone and in the package, too.
 */
export function linksPlugin(md: MarkdownRenderer): void {
  md.core.ruler.push('site-links', ({ tokens, env }) => {
    for (const token of tokens.flatMap(({ children }) => children ?? [])) {
      const href = token.type === 'link_open' ? token.attrGet('href') : null;
      if (href !== null) token.attrSet('href', resolveLink(sourceOf(env), href));
    }
  });
}

/** Turns the line `<!-- picture: NAME -->` into the live picture of that example. */
export function picturePlugin(md: MarkdownRenderer): void {
  const html = md.renderer.rules.html_block ?? ((tokens, index) => tokens[index]?.content ?? '');
  md.renderer.rules.html_block = (tokens, index, ...rest) => {
    const name = /^<!-- picture: ([\w-]+) -->\s*$/.exec(tokens[index]?.content ?? '')?.[1];
    return name === undefined ? html(tokens, index, ...rest) : `<ExamplePicture example="${name}" />\n`;
  };
}

/**
 * Gives each row of a table that starts with code a link of its own, such as
 * `#option-queue_backend`: the options and variables of a guide are rows.
 */
export function rowAnchorsPlugin(md: MarkdownRenderer): void {
  md.core.ruler.push('row-anchors', ({ tokens, Token }) => {
    const seen = new Set<string>();
    for (const [index, row] of tokens.entries()) {
      const cell = tokens[index + 2];
      if (row.type !== 'tr_open' || tokens[index + 1]?.type !== 'td_open') continue;
      const code = cell?.children?.[0];
      if (code?.type !== 'code_inline') continue;
      const id = `option-${code.content
        .toLowerCase()
        .replaceAll(/[^\w]+/g, '-')
        .replaceAll(/^-|-$/g, '')}`;
      if (seen.has(id)) continue;
      seen.add(id);
      row.attrSet('id', id);
      row.attrSet('tabindex', '-1');
      const anchor = new Token('html_inline', '', 0);
      const label = md.utils.escapeHtml(`Permalink to ${code.content}`);
      anchor.content = ` <a class="header-anchor row-anchor" href="#${id}" aria-label="${label}">&#8203;</a>`;
      cell?.children?.push(anchor);
    }
  });
}
