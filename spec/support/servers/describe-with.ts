import brokers from '../../../scripts/brokers.json';
import { findCommand } from './find-command.js';
import { hasTls } from './redis-build.js';
import { isAtLeast, type Version } from './server-version.js';

type Broker = keyof typeof brokers;

/** What becomes of a suite: without its broker it fails where everything must run, and is left out elsewhere. */
export type Verdict = { readonly run: true } | { readonly run: false; readonly fail: boolean; readonly reason: string };

/** Looks for a broker on the PATH. */
export function verdictOn(broker: Broker, env: Readonly<Record<string, string | undefined>>): Verdict {
  if (findCommand(broker, env) !== undefined) return { run: true };
  const { apt, brew, docs } = brokers[broker];
  const command =
    process.platform === 'darwin' ? `brew install ${brew}` : `sudo apt-get install --no-install-recommends ${apt}`;
  const reason = `${broker} is not on the PATH. Install it (${command}; elsewhere see ${docs}), or run \`npm run brokers\`.`;
  return { run: false, fail: env.CI === 'true', reason };
}

/** The only engine whose suites run, where the environment names one. */
const { SLUICE_ENGINE: engine } = process.env;

function describeWith(broker: Broker, name: string, body: () => void): void {
  if (engine !== undefined && !broker.startsWith(engine)) {
    describe.skip(name, body);
    return;
  }
  const verdict = verdictOn(broker, process.env);
  if (verdict.run) {
    describe(name, body);
  } else if (verdict.fail) {
    describe(name, () => {
      it(`runs with ${broker}`, () => {
        throw new Error(verdict.reason);
      });
    });
  } else {
    skip(name, body, verdict.reason);
  }
}

/** A suite that is left out, aloud. */
function skip(name: string, body: () => void, reason: string): void {
  console.warn(`SKIPPED: ${name}. ${reason}`);
  describe.skip(name, body);
}

/** A suite that starts `redis-server`. Where there is none the suite is skipped, aloud; with `CI=true` it fails. */
export function describeWithRedis(name: string, body: () => void): void {
  describeWith('redis-server', name, body);
}

/** A suite that starts `redis-server` with TLS. If the server was built without TLS, the suite is skipped, aloud. */
export function describeWithRedisTls(name: string, body: () => void): void {
  if (!verdictOn('redis-server', process.env).run || hasTls()) describeWithRedis(name, body);
  else skip(name, body, '`redis-server` on the PATH was built without TLS.');
}

/** A suite that starts `redis-server` and `redis-sentinel`. Where they are not there the suite is skipped, aloud; with `CI=true` it fails. */
export function describeWithSentinel(name: string, body: () => void): void {
  describeWith('redis-sentinel', name, body);
}

/** A suite that starts `nats-server`. Where there is none the suite is skipped, aloud; with `CI=true` it fails. */
export function describeWithNats(name: string, body: () => void): void {
  describeWith('nats-server', name, body);
}

/** A suite for what `nats-server` has from a version on. With an older server it is skipped, aloud. */
export function describeWithNatsSince(version: Version, name: string, body: () => void): void {
  if (!verdictOn('nats-server', process.env).run || isAtLeast('nats-server', version)) describeWithNats(name, body);
  else skip(name, body, `It needs nats-server ${version.join('.')} or newer.`);
}

/** A suite that starts `rabbitmq-server`. Where there is none the suite is skipped, aloud; with `CI=true` it fails. */
export function describeWithRabbitMq(name: string, body: () => void): void {
  describeWith('rabbitmq-server', name, body);
}
