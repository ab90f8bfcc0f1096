import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { root } from '../../build/page-paths.js';

const decisions = path.join(root, 'docs/decisions');

/** The files of `src` that the decisions name, and all examples. */
function sources(): string[] {
  const text = readdirSync(decisions).map((name) => readFileSync(path.join(decisions, name), 'utf8'));
  const named = text.join('\n').matchAll(/\]\(\.\.\/\.\.\/(src\/[^)#]+\.ts)/g);
  const examples = readdirSync(path.join(root, 'examples')).filter((name) => name.endsWith('.ts'));
  return [...new Set([...[...named].map(([, file]) => file as string), ...examples.map((name) => `examples/${name}`)])];
}

export default {
  paths: () =>
    sources().map((file) => ({
      params: { file: file.replace(/\.ts$/, '') },
      content: `\`\`\`ts\n${readFileSync(path.join(root, file), 'utf8')}\`\`\`\n`,
    })),
};
