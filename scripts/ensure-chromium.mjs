/**
 * Installs the browser in which `npm run test:site` opens the site, as `ensure-brokers.mjs` installs
 * the brokers: this script runs sudo only with `--install`. Does nothing if `CHROMIUM` names a
 * browser.
 */
import { readFileSync } from 'node:fs';
import { installMissing } from './lib/install-commands.mjs';

if (!process.env.CHROMIUM) {
  installMissing(
    JSON.parse(readFileSync(new URL('chromium.json', import.meta.url), 'utf8')),
    'Chromium is missing. `node scripts/ensure-chromium.mjs --install` installs it; it uses sudo.',
  );
}
