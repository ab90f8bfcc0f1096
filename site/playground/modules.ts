import { PROGRAM } from './failure.js';
import { link } from './link.js';
import type { Start } from './protocol.js';

/** Makes a URL of a module. `name` is shown in stacks. */
export function moduleUrl(code: string, name: string): string {
  return URL.createObjectURL(new Blob([`${code}\n//# sourceURL=${name}\n`], { type: 'text/javascript' }));
}

/**
 * Makes URLs of the bundled modules. Returns them by specifier.
 *
 * @param create makes a URL of a module
 */
export function moduleUrls(
  { imports, modules }: Pick<Start, 'imports' | 'modules'>,
  create: (code: string, name: string) => string = moduleUrl,
): Record<string, string> {
  const urls = new Map<string, string>();
  for (const { name, code } of modules) {
    // Each comes after those that it imports, so their URLs are known.
    const linked = code.replace(/"\.\/([\w.-]+)"/g, (specifier, imported: string) => {
      const url = urls.get(imported);
      return url === undefined ? specifier : JSON.stringify(url);
    });
    // The logger of the library skips frames of packages when it shows where an error was thrown.
    urls.set(name, create(linked, `node_modules/${name}`));
  }
  return Object.fromEntries(
    Object.entries(imports).map(([specifier, name]) => {
      const url = urls.get(name);
      if (url === undefined) throw new Error(`Expected a module ${name} for ${specifier}`);
      return [specifier, url];
    }),
  );
}

/**
 * Makes a URL of the program, and of a module that runs it.
 *
 * @param begin the name of a global function, which is called right before the program runs
 */
export function programUrls(
  program: Start['program'],
  urls: Readonly<Record<string, string>>,
  begin: string,
): { readonly program: string; readonly run: string } {
  const own = moduleUrl(link(program, urls), PROGRAM);
  const beginning = moduleUrl(`globalThis.${begin}();`, 'node_modules/begin.js');
  // All modules are loaded before the first one runs.
  const imports = [beginning, own].map((url) => `import ${JSON.stringify(url)};`).join('');
  return { program: own, run: moduleUrl(imports, 'node_modules/run.js') };
}
