import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';

const root = import.meta.dirname;

const specsIn = (folder) =>
  readdirSync(path.join(root, folder), { recursive: true }).filter((file) => file.endsWith('.spec.ts'));

const specs = specsIn('spec');

/** The suites that start a server call one of these helpers. */
const startsServer = (spec) => /\bdescribeWith[A-Z]\w+/.test(readFileSync(path.join(root, 'spec', spec), 'utf8'));

/**
 * Suites that build, compile or run programs, or that drive thousands of random or long runs: `npm
 * run test:unit` leaves them out.
 */
const takesLong = (spec) =>
  /^(cli|package|loader|examples|types|testing|properties)[\\/]|documentation|leaks|[\\/]load\.spec|stack|interleavings|embedded/.test(
    spec,
  );

/** Packages of ES modules only, which jest cannot load as they are. */
const ESM_ONLY = '/node_modules/(?:arktype|arkregex|@ark|sparkly)/';

/** @type {(name: string, specs: readonly string[]) => import('jest').Config} */
const project = (name, specs) => ({
  displayName: name,
  rootDir: root,
  roots: ['<rootDir>/spec', '<rootDir>/src'],
  testMatch: specs.map((spec) => `<rootDir>/spec/${spec.replaceAll(path.sep, '/')}`),
  transform: {
    [`${ESM_ONLY}.+\\.js$`]: [
      'ts-jest',
      { tsconfig: { allowJs: true, module: 'CommonJS', target: 'ES2022' }, transpilation: true, diagnostics: false },
    ],
    '^.+\\.ts$': ['ts-jest', { tsconfig: '<rootDir>/spec/tsconfig.json' }],
    '^.+\\.(?:lua|sql)$': '<rootDir>/scripts/text.mjs',
  },
  transformIgnorePatterns: [`^(?!.*${ESM_ONLY}).*/node_modules/`],
  moduleNameMapper: {
    '^(\\.{1,2}/.*)\\.js$': '$1',
    '^@electric-sql/pglite$': '<rootDir>/spec/support/pglite.ts',
    '^sluice$': '<rootDir>/src/index.ts',
    '^sluice/driver$': '<rootDir>/src/core/index.ts',
    '^sluice/([^/]+)$': '<rootDir>/src/$1/index.ts',
  },
});

/**
 * The tests of `site/`, which `npm run test:site` runs. The sources of the examples are texts there,
 * as they are with Vite's `?raw`.
 *
 * @type {import('jest').Config}
 */
const site = (({ transform, moduleNameMapper, ...shared }) => ({
  ...shared,
  displayName: 'site',
  roots: ['<rootDir>/site/spec'],
  testMatch: ['<rootDir>/site/spec/**/*.spec.ts'],
  transform: {
    '/site/examples/(?!index\\.)[^/]+\\.ts$': '<rootDir>/scripts/text.mjs',
    ...transform,
    '^.+\\.ts$': ['ts-jest', { tsconfig: '<rootDir>/site/spec/tsconfig.json' }],
  },
  moduleNameMapper: { '^(.+)\\?raw$': '$1', ...moduleNameMapper },
}))(project('', []));

/** @type {import('jest').Config} */
export default {
  // Far longer than any test takes on an idle machine.
  testTimeout: 120_000,
  testSequencer: '<rootDir>/scripts/longest-first.mjs',
  projects: [
    project('servers', specs.filter(startsServer)),
    project(
      'long',
      specs.filter((spec) => !startsServer(spec) && takesLong(spec)),
    ),
    project(
      'unit',
      specs.filter((spec) => !startsServer(spec) && !takesLong(spec)),
    ),
    site,
  ],
};
