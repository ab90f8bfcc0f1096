/** The subpaths of the package that are not engines, with their folders in `src`. */
const SUBPATHS = { driver: 'core', opentelemetry: 'opentelemetry', schema: 'schema', testing: 'testing' };

/** The optional peer dependencies of these subpaths. The clients of the engines are the others. */
const OPTIONAL_PEERS = { '@opentelemetry/api': '^1.9.0' };

const sorted = (object) =>
  Object.fromEntries(Object.entries(object).sort(([one], [other]) => (one < other ? -1 : Number(one > other))));

/** Returns the types and the code of an entry, for both module formats. */
const entry = (file) => ({
  import: { types: `./dist/${file}.d.ts`, default: `./dist/${file}.js` },
  require: { types: `./dist/${file}.d.cts`, default: `./dist/${file}.cjs` },
});

/**
 * Returns the package manifest with all parts that name an engine. Keeps non-optional peers and
 * keywords that belong to no engine.
 * @param {import('./engines.mjs').Engine[]} engines
 */
export function manifestWith(engines, manifest) {
  const folders = sorted({ ...SUBPATHS, ...Object.fromEntries(engines.map(({ name }) => [name, name])) });
  const subpaths = Object.entries(folders);
  const optional = sorted(Object.assign({}, OPTIONAL_PEERS, ...engines.map(({ peers }) => peers)));
  const required = Object.entries(manifest.peerDependencies).filter(
    ([name]) => !manifest.peerDependenciesMeta[name]?.optional,
  );
  const keywords = engines.flatMap((engine) => engine.keywords);
  return {
    ...manifest,
    keywords: [...manifest.keywords, ...keywords.filter((keyword) => !manifest.keywords.includes(keyword))],
    exports: {
      '.': entry('index'),
      ...Object.fromEntries(subpaths.map(([name, folder]) => [`./${name}`, entry(`${folder}/index`)])),
      './package.json': './package.json',
    },
    typesVersions: {
      '*': Object.fromEntries(subpaths.map(([name, folder]) => [name, [`./dist/${folder}/index.d.ts`]])),
    },
    peerDependencies: sorted({ ...Object.fromEntries(required), ...optional }),
    peerDependenciesMeta: Object.fromEntries(Object.keys(optional).map((name) => [name, { optional: true }])),
  };
}

/** Returns the source text of a map with names as keys. */
const mapOf = (object) =>
  `{ ${Object.entries(object)
    .map(([name, value]) => `${name}: '${value}'`)
    .join(', ')} }`;

/**
 * Returns the source text of the loader's table.
 *
 * @param {import('./engines.mjs').Engine[]} engines
 */
export function loaderTable(engines) {
  const rows = engines
    .toSorted((one, other) => (one.name < other.name ? -1 : 1))
    .map(({ name, class: className, peers, clients = Object.keys(peers), variable, clientByScheme }) => {
      const packages = clients.map((client) => `'${client}'`).join(', ');
      const chosen = clientByScheme && `, variable: '${variable}', clientByScheme: ${mapOf(clientByScheme)}`;
      return `  { name: '${name}', className: '${className}', clients: [${packages}]${chosen ?? ''} },\n`;
    });
  return `// biome-ignore-all format: one row a line
/** The built-in engines that need a client. Written by \`npm run engines\`. */
export const ENGINES = [
${rows.join('')}];
`;
}
