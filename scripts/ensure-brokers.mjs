/**
 * Installs the message brokers that the tests start. Root, as in CI and in containers, gets the
 * missing ones from apt-get. Any other user gets the commands: this script runs sudo only with
 * `--install` (`npm run brokers`). It never fails. A suite without its broker is skipped with a
 * warning, and fails if `CI` is `true`.
 *
 * `npm test` runs it first; `npm test --ignore-scripts` does not.
 */
import { engines } from './lib/engines.mjs';
import { installMissing } from './lib/install-commands.mjs';

installMissing(
  Object.assign({}, ...engines.map(({ servers }) => servers)),
  'Some message brokers are missing. `npm run brokers` installs them; it uses sudo.',
);
