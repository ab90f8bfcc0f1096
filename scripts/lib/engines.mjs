import { readFileSync } from 'node:fs';

/**
 * One row of `engines.json`, the table of engines. Everything that lists the engines reads the
 * table, or is checked against it. To add an engine, add a row, run `npm run engines`, and add what
 * `npm run check` asks for:
 *
 * - `src/NAME`, whose `index.ts` exports the class, and a guide;
 * - `spec/NAME`, whose `integration/broker.ts` exports what the suites of every engine need, as
 *   `broker`;
 * - `bench/NAME`, whose `index.mjs` exports `contenders` and `scenarios`, and whose `server.mjs`
 *   starts and empties the server.
 *
 * @typedef {object} Engine
 * @property {string} name The value of `QUEUE_BACKEND`, the subpath of the package, and the folder
 * in `src`, `spec` and `bench`.
 * @property {string} title What the engine is called in prose.
 * @property {string} class The class that the subpath exports.
 * @property {string} variable The environment variable that holds the URL of the server.
 * @property {string[]} [variables] The other environment variables that only this engine reads.
 * @property {string} url An example of such a URL.
 * @property {Record<string, string>} peers The optional peer dependencies, with their ranges.
 * @property {string[]} [clients] The peers that must be installed to load the engine. Default: all
 * of them.
 * @property {Record<string, string>} [clientByScheme] The peer that must also be installed, by the
 * scheme of the URL. The engine imports it when it connects.
 * @property {string[]} keywords The keywords of the package.
 * @property {string} guide The page of the documentation.
 * @property {Record<string, { apt: string, brew: string, dnf: string, docs: string }>} servers The
 * commands that the tests start, and how to install each.
 * @property {boolean} [startsSlowly] Whether the tests start the suites of the engine first.
 * @property {Record<string, object>} versions The other versions that `npm run test:servers` tests,
 * see `scripts/servers`.
 */

/**
 * The rows of the table. The bench shows the engines in this order; `npm run test:servers` starts
 * with the last.
 */
export const engines = /** @type {Engine[]} */ (
  JSON.parse(readFileSync(new URL('../../engines.json', import.meta.url), 'utf8'))
);
