/**
 * Fetches the servers of other versions that `npm run test:servers` tests against, into `.cache/servers`, and says what it could not get: `npm run servers`, or some of them:
 * `npm run servers -- nats-2.15 redis-8`.
 */
import { fetchServer, versions } from './servers/fetch.mjs';

const names = process.argv.length > 2 ? process.argv.slice(2) : Object.keys(versions);

for (const name of names) {
  const known = Object.keys(versions);
  if (!known.includes(name)) {
    console.error(`There is no "${name}": expected one of ${known.join(', ')}`);
    process.exitCode = 1;
    continue;
  }
  const { version, reason } = await fetchServer(name);
  console.log(version === undefined ? `${name} cannot be had: ${reason}` : `${name}: ${version}`);
}
