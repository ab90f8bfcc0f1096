const engines = require('./engines.json').map(({ name }) => name);

/**
 * Who may import whom: each layer of `src`, and the layers that it may import. A layer may always
 * import itself, unless it is a single file.
 */
const layers = {
  backend: [],
  errors: [],
  internal: ['backend', 'errors'],
  bridge: ['backend', 'errors', 'internal'],
  memory: ['backend', 'errors', 'internal', 'bridge', 'core'],
  operators: ['backend', 'errors', 'internal', 'bridge'],
  consumer: ['backend', 'errors', 'internal', 'bridge', 'operators', 'core/base-delivery'],
  interceptors: ['backend', 'errors', 'internal', 'bridge'],
  schema: ['backend', 'errors', 'internal', 'interceptors'],
  opentelemetry: ['backend', 'errors', 'internal', 'interceptors'],
  loader: ['backend', 'errors', 'internal', 'memory'],
  testing: ['backend', 'errors', 'internal', 'bridge', 'core/base-delivery'],
  core: ['backend', 'errors', 'internal', 'bridge'],
  ...Object.fromEntries(engines.map((name) => [name, ['backend', 'errors', 'internal', 'bridge', 'core']])),
  cli: ['index'],
  index: ['backend', 'errors', 'internal', 'bridge', 'memory', 'operators', 'interceptors', 'consumer', 'loader'],
};

/** Layers that may use the modules of Node.js. Everything else runs in a browser too. */
const forNode = ['loader', 'testing', 'core', 'cli', ...engines];

// It exports `forward` too: an outbox is where a user looks for it.
layers.postgres.push('consumer/forward');

const paths = (names) => `^src/(${names.join('|')})(/|\\.ts$)`;

const layerRules = Object.entries(layers).map(([name, allowed]) => ({
  name: `layer-${name}`,
  comment: `src/${name} may import ${allowed.join(', ') || 'nothing of ours'}${name === 'loader' ? ', and anything by a dynamic import()' : ''}`,
  severity: 'error',
  from: { path: paths([name]) },
  to: { path: '^src/', pathNot: paths([name, ...allowed]), ...(name === 'loader' && { dynamic: false }) },
}));

module.exports = {
  forbidden: [
    ...layerRules,
    {
      name: 'layer-unknown',
      comment: 'A file or folder of src that no layer in .dependency-cruiser.cjs names',
      severity: 'error',
      from: {},
      to: { path: '^src/', pathNot: paths(Object.keys(layers)) },
    },
    { name: 'no-cycles', severity: 'error', from: {}, to: { circular: true } },
    { name: 'no-unresolved', severity: 'error', from: {}, to: { couldNotResolve: true } },
    { name: 'no-rxjs-internal', severity: 'error', from: {}, to: { path: 'rxjs/.*internal/' } },
    {
      name: 'no-node-in-core',
      severity: 'error',
      from: { path: '^src/', pathNot: paths(forNode) },
      to: { dependencyTypes: ['core'] },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: { exportsFields: ['exports'], conditionNames: ['import', 'types', 'default'] },
  },
};
