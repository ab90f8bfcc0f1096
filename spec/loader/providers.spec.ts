import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { MemoryBackend, type QueueBackend } from 'sluice';
import ts from 'typescript';
import { providers } from '../../src/loader/providers.js';
import { engines } from '../support/engines.js';
import { silentLogger } from '../support/recording-logger.js';
import { ROOT } from '../support/root.js';

const SRC = path.join(ROOT, 'src');

/** The folders of `src` with a backend. */
const folders = readdirSync(SRC).filter((folder) => existsSync(path.join(SRC, folder, `${folder}-backend.ts`)));

const manifest = JSON.parse(readFileSync(path.join(ROOT, 'package.json'), 'utf8'));

/**
 * The packages that the sources in a folder import, by static or dynamic imports, also for types.
 */
function importsOf(folder: string): string[] {
  const sources = readdirSync(path.join(ROOT, 'src', folder), { recursive: true, encoding: 'utf8' }).filter((file) =>
    file.endsWith('.ts'),
  );
  const specifiers = sources.flatMap(
    (file) => ts.preProcessFile(readFileSync(path.join(ROOT, 'src', folder, file), 'utf8')).importedFiles,
  );
  const packages = specifiers.flatMap(({ fileName }) => /^(?!\.|node:)(?:@[^/]+\/)?[^/]+/.exec(fileName) ?? []);
  return [...new Set(packages)].filter((name) => name !== 'rxjs').sort();
}

describe('The table of providers', () => {
  it('has exactly one row for each folder with a backend', () => {
    expect([...providers.keys()].sort()).toEqual(folders.sort());
  });

  it('needs no client for memory', async () => {
    expect(providers.get('memory')?.clients).toEqual([]);
    expect(await providers.get('memory')?.load()).toBe(MemoryBackend);
  });

  it('names no client for a URL that no engine accepts', () => {
    for (const url of [undefined, '', 'localhost', 'http://localhost', 'constructor:', 7 as never])
      expect(providers.get('postgres')?.clientFor?.({ POSTGRES_URL: url })).toBeUndefined();
  });

  describe.each(engines)('has a row for $name that', ({ name: folder, variable, url, clientByScheme = {} }) => {
    const provider = providers.get(folder);
    const chosen = Object.keys(clientByScheme).map((scheme) => provider?.clientFor?.({ [variable]: `${scheme}:x` }));
    const clients = [...new Set([...(provider?.clients ?? []), ...chosen])].map(String);

    it('names the packages that its sources import', () => {
      expect(clients.sort()).toEqual(importsOf(folder));
    });

    it('names only optional peers', () => {
      for (const client of clients) {
        expect(manifest.peerDependencies).toHaveProperty([client]);
        expect(manifest.peerDependenciesMeta).toHaveProperty([client, 'optional'], true);
        expect(manifest.dependencies ?? {}).not.toHaveProperty([client]);
      }
    });

    it('has a subpath of the package, in both formats', () => {
      expect(manifest.exports[`./${folder}`]).toMatchObject({
        import: { default: `./dist/${folder}/index.js` },
        require: { default: `./dist/${folder}/index.cjs` },
      });
    });

    it('loads what its subpath exports, which reads the environment', async () => {
      const [loaded, subpath] = await Promise.all([provider?.load(), import(`sluice/${folder}`)]);
      expect(Object.values(subpath)).toContain(loaded);
      expect(loaded?.fromEnv).toEqual(expect.any(Function));
    });

    it('names the variable that is missing from an empty environment', async () => {
      const loaded = await provider?.load();
      expect(() => loaded?.fromEnv({}, { logger: silentLogger })).toThrow(variable);
    });

    it('has an example of a URL', async () => {
      const loaded = await provider?.load();
      const queue = loaded?.fromEnv({ [variable]: url, QUEUE_NAME: 'orders' }, { logger: silentLogger });
      await (queue as QueueBackend).close();
    });
  });
});
