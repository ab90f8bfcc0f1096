import type { MarkdownEnv, MarkdownRenderer } from 'vitepress';
import { catalogue } from './catalogue.js';
import { readDiagrams } from './diagrams.js';
import { drawDiagram } from './draw.js';

type Token = ReturnType<MarkdownRenderer['parse']>[number];

/** Returns the diagrams of a function as HTML. */
function figuresOf(root: string, name: string): string {
  return readDiagrams(root, name)
    .map((diagram) => {
      const caption = diagram.caption.replaceAll(/`([^`]+)`/g, '<code>$1</code>');
      // The drawing may be wider than the page: then it scrolls, also with the keyboard.
      return (
        `<figure class="marbles" v-pre><div class="marbles-scroll" tabindex="0" role="group" ` +
        `aria-label="Diagram">${drawDiagram(diagram)}</div><figcaption>${caption}</figcaption></figure>\n`
      );
    })
    .join('');
}

/**
 * Makes the plugin that turns the line `<!-- marbles: NAME -->` into the diagrams of a function, and
 * puts them into the page of the function in the API.
 */
export function createMarblesPlugin(root: string): (md: MarkdownRenderer) => void {
  return (md) => {
    md.core.ruler.push('marbles', (state) => {
      const file = fileOf(state.env);
      for (const token of state.tokens) {
        if (token.type !== 'html_block' || !/<!--\s*marbles\b/.test(token.content)) continue;
        const name = /^<!-- marbles: (\w+) -->\s*$/.exec(token.content)?.[1];
        if (name === undefined)
          throw new Error(`Expected a line \`<!-- marbles: NAME -->\` in ${file}, got ${token.content.trim()}`);
        token.content = figuresFor(root, file, name);
      }
      const name = /(?:^|\/)site\/api\/(?:.+\/)?functions\/(\w+)\.md$/.exec(file)?.[1];
      if (name === undefined || !Object.hasOwn(catalogue, name)) return;
      const figures = new state.Token('html_block', '', 0);
      figures.content = figuresFor(root, file, name);
      state.tokens = withFigures(state.tokens, figures, file);
    });
  };
}

function fileOf(env: Partial<MarkdownEnv> | undefined): string {
  return (env?.realPath ?? env?.path ?? 'a page').replaceAll('\\', '/');
}

function figuresFor(root: string, file: string, name: string): string {
  try {
    return figuresOf(root, name);
  } catch (error) {
    throw new Error(`Cannot draw the marbles of ${file}: ${(error as Error).message}`, { cause: error });
  }
}

/** Puts the diagrams behind the first paragraph, and leaves out the one that a docblock has as a text. */
function withFigures(tokens: readonly Token[], figures: Token, file: string): Token[] {
  const title = tokens.findIndex(({ type, tag }) => type === 'heading_close' && tag === 'h1');
  const end = tokens.findIndex(({ type, level }, index) => index > title && type === 'paragraph_close' && level === 0);
  if (title === -1 || end === -1) throw new Error(`Expected ${file} to have a title and a paragraph`);
  const isText = ({ type, info, content }: Token) =>
    type === 'fence' && info.trim() === 'text' && /^source .*\n[\s\S]*^output /m.test(content);
  return [...tokens.slice(0, end + 1), figures, ...tokens.slice(end + 1).filter((token) => !isText(token))];
}
