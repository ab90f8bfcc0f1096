import table from '../../../scripts/chromium.json';
import type { Verdict } from '../../../spec/support/servers/describe-with.js';
import { findCommand } from '../../../spec/support/servers/find-command.js';

type Environment = Readonly<Record<string, string | undefined>>;

/** Finds the browser of the tests: the one that `CHROMIUM` names, or the first one on the PATH. */
export function findChromium(env: Environment): string | undefined {
  // A path: no folder of the PATH contains it.
  if (env.CHROMIUM) return findCommand(env.CHROMIUM, { PATH: '/' });
  for (const name of table.chromium.names) {
    const file = findCommand(name, env);
    if (file !== undefined) return file;
  }
  return undefined;
}

/** Decides whether the suites that need the browser run, as `verdictOn` does for a broker. */
export function verdictOnChromium(env: Environment): Verdict {
  if (findChromium(env) !== undefined) return { run: true };
  const { apt, docs } = table.chromium;
  const reason = env.CHROMIUM
    ? `CHROMIUM is ${env.CHROMIUM}, expected the absolute path of a browser.`
    : `chromium is not on the PATH. Install it (sudo apt-get install --no-install-recommends ${apt}; elsewhere see ${docs}).`;
  return { run: false, fail: env.CI === 'true', reason };
}
