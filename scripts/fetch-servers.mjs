/**
 * Fetches servers of other versions for `npm run test:servers` into `.cache/servers`. Prints the
 * reason for each version that is not available.
 * Usage: `npm run servers [-- nats-2.15 redis-8]`
 */
import { checked, fetchServer } from './servers/fetch.mjs';

for (const name of checked(process.argv.slice(2))) {
  const { version, reason } = await fetchServer(name);
  console.log(version === undefined ? `${name} is not available: ${reason}` : `${name}: ${version}`);
}
