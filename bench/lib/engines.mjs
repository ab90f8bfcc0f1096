import { engines } from '../../scripts/lib/engines.mjs';

/**
 * The contenders and scenarios of each engine, by the name of its folder. The `index.mjs` of an
 * engine imports no client: a scenario without a server would have to wait for it.
 */
export const benches = Object.fromEntries(
  await Promise.all(engines.map(async ({ name }) => [name, await import(`../${name}/index.mjs`)])),
);
