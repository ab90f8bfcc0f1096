/**
 * Fetches the servers of other versions, for `npm run test:servers`, into `.cache/servers`. Prints
 * the reason for each one that it could not get.
 *
 *   npm run servers [-- nats-2.15 redis-8]
 */
import { checked, fetchServer } from './servers/fetch.mjs';

for (const name of checked(process.argv.slice(2))) {
  const { version, reason } = await fetchServer(name);
  console.log(version === undefined ? `${name} cannot be had: ${reason}` : `${name}: ${version}`);
}
