import { callScript } from '../support/call-script.js';

const KAFKA = {
  name: 'kafka',
  class: 'KafkaBackend',
  peers: { kafkajs: '^2.0.0' },
  keywords: ['kafka', 'queue'],
};

const SQL = {
  name: 'a-sql',
  class: 'SqlBackend',
  variable: 'SQL_URL',
  peers: { pg: '^8.0.0', lite: '^1.0.0' },
  clients: [],
  clientByScheme: { sql: 'pg', file: 'lite' },
  keywords: [],
};

const MANIFEST = {
  name: 'sluice',
  keywords: ['queue'],
  exports: {},
  peerDependencies: { old: '^1.0.0', rxjs: '^7.8.0' },
  peerDependenciesMeta: { old: { optional: true } },
};

const manifestWith = (...engines: readonly object[]) =>
  callScript('lib/written-from-engines.mjs', 'script.manifestWith(input.engines, input.manifest)', {
    engines,
    manifest: MANIFEST,
  });

describe('manifestWith', () => {
  it('adds the subpath, the types, the peers and the keywords of each row, and no others', () => {
    expect(manifestWith(KAFKA)).toMatchObject({
      name: 'sluice',
      keywords: ['queue', 'kafka'],
      exports: {
        './kafka': {
          import: { types: './dist/kafka/index.d.ts', default: './dist/kafka/index.js' },
          require: { types: './dist/kafka/index.d.cts', default: './dist/kafka/index.cjs' },
        },
      },
      typesVersions: { '*': { kafka: ['./dist/kafka/index.d.ts'] } },
    });
    expect(manifestWith(KAFKA)).toMatchObject({
      peerDependencies: { kafkajs: '^2.0.0', rxjs: '^7.8.0' },
      peerDependenciesMeta: { kafkajs: { optional: true } },
    });
    expect(manifestWith(KAFKA)).not.toHaveProperty('peerDependencies.old');
  });

  it('keeps the subpaths that are not engines', () => {
    const exports = ['.', './driver', './opentelemetry', './schema', './testing', './package.json'];
    expect(Object.keys((manifestWith() as { readonly exports: object }).exports)).toEqual(exports);
  });
});

describe('loaderTable', () => {
  it('sorts the rows by name and lists the packages that must be installed', () => {
    const table = callScript('lib/written-from-engines.mjs', 'script.loaderTable(input)', [KAFKA, SQL]);
    expect(table).toContain(`[
  { name: 'a-sql', className: 'SqlBackend', clients: [], variable: 'SQL_URL', clientByScheme: { sql: 'pg', file: 'lite' } },
  { name: 'kafka', className: 'KafkaBackend', clients: ['kafkajs'] },
];`);
  });
});
