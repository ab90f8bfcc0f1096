import type { Compiled } from './protocol.js';

/**
 * Replaces the specifiers in compiled code by URLs: what an import map does, which workers do not
 * know. The lines stay the same.
 */
export function link({ code, links }: Compiled, urls: Readonly<Record<string, string>>): string {
  let linked = '';
  let from = 0;
  for (const { specifier, start, end, quoted } of links) {
    const url = urls[specifier];
    if (url === undefined) throw new Error(`Expected a URL for ${JSON.stringify(specifier)}`);
    linked += code.slice(from, start) + (quoted ? JSON.stringify(url) : url);
    from = end;
  }
  return linked + code.slice(from);
}
