/**
 * Fetches the servers of other versions that `npm run test:servers` tests against, into
 * `.cache/servers`, and says what it could not get: `npm run servers`, or some of them: `npm run
 * servers -- nats-2.15 redis-8`.
 */
import { checked, fetchServer } from './servers/fetch.mjs';

for (const name of checked(process.argv.slice(2))) {
  const { version, reason } = await fetchServer(name);
  console.log(version === undefined ? `${name} cannot be had: ${reason}` : `${name}: ${version}`);
}
