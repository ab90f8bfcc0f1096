import { type Engine, engines } from '../engines.js';
import { findCommand } from './find-command.js';
import { hasTls } from './redis-build.js';
import { isAtLeast, type Version } from './server-version.js';

/**
 * Whether a suite runs. Without its broker, it fails where every suite must run, and is skipped
 * elsewhere.
 */
export type Verdict = { readonly run: true } | { readonly run: false; readonly fail: boolean; readonly reason: string };

/** The row of the engine whose tests start this command. */
function engineOf(broker: string) {
  const engine = engines.find(({ servers }) => broker in servers);
  if (engine === undefined) throw new Error(`No engine in engines.json starts ${broker}`);
  return engine;
}

/** Looks for a broker on the PATH. */
export function verdictOn(broker: string, env: Readonly<Record<string, string | undefined>>): Verdict {
  if (findCommand(broker, env) !== undefined) return { run: true };
  const { [broker]: packages } = engineOf(broker).servers;
  const { apt, brew, docs } = packages as NonNullable<typeof packages>;
  const command =
    process.platform === 'darwin' ? `brew install ${brew}` : `sudo apt-get install --no-install-recommends ${apt}`;
  const reason = `${broker} is not on the PATH. Install it (${command}; elsewhere see ${docs}), or run \`npm run brokers\`.`;
  return { run: false, fail: env.CI === 'true', reason };
}

/** The only engine whose suites run, where the environment names one. */
const { SLUICE_ENGINE: only } = process.env;

function describeWith(broker: string, name: string, body: () => void): void {
  if (only !== undefined && engineOf(broker).name !== only) {
    describe.skip(name, body);
    return;
  }
  describeBy(verdictOn(broker, process.env), broker, name, body);
}

/** Describes a suite that a verdict runs, fails or skips. */
export function describeBy(verdict: Verdict, command: string, name: string, body: () => void): void {
  if (verdict.run) {
    describe(name, body);
  } else if (verdict.fail) {
    describe(name, () => {
      it(`runs with ${command}`, () => {
        throw new Error(verdict.reason);
      });
    });
  } else {
    skip(name, body, verdict.reason);
  }
}

/** Skips a suite with a warning. */
function skip(name: string, body: () => void, reason: string): void {
  console.warn(`SKIPPED: ${name}. ${reason}`);
  describe.skip(name, body);
}

/**
 * Describes a suite that starts the server of an engine. Without the server, the suite is skipped
 * with a warning, and fails if `CI` is `true`.
 */
export function describeWithEngine({ servers }: Engine, name: string, body: () => void): void {
  describeWith(Object.keys(servers)[0] as string, name, body);
}

/** Describes a suite that starts `redis-server`, see `describeWithEngine`. */
export function describeWithRedis(name: string, body: () => void): void {
  describeWith('redis-server', name, body);
}

/**
 * Describes a suite that starts `redis-server` with TLS. If the server was built without TLS, the
 * suite is skipped with a warning.
 */
export function describeWithRedisTls(name: string, body: () => void): void {
  if (!verdictOn('redis-server', process.env).run || hasTls()) describeWithRedis(name, body);
  else skip(name, body, '`redis-server` on the PATH was built without TLS.');
}

/** Describes a suite that starts `redis-server` and `redis-sentinel`, see `describeWithEngine`. */
export function describeWithRedisSentinel(name: string, body: () => void): void {
  describeWith('redis-sentinel', name, body);
}

/** Describes a suite that starts `nats-server`, see `describeWithEngine`. */
export function describeWithNats(name: string, body: () => void): void {
  describeWith('nats-server', name, body);
}

/**
 * Describes a suite that needs a version of `nats-server`. With an older server, the suite is
 * skipped with a warning.
 */
export function describeWithNatsSince(version: Version, name: string, body: () => void): void {
  if (!verdictOn('nats-server', process.env).run || isAtLeast('nats-server', version)) describeWithNats(name, body);
  else skip(name, body, `It needs nats-server ${version.join('.')} or newer.`);
}

/** Describes a suite that starts `postgres`, see `describeWithEngine`. */
export function describeWithPostgres(name: string, body: () => void): void {
  describeWith('postgres', name, body);
}

/** Describes a suite that starts `postgres` and `pgbouncer`, see `describeWithEngine`. */
export function describeWithPgBouncer(name: string, body: () => void): void {
  if (!verdictOn('postgres', process.env).run) describeWithPostgres(name, body);
  else describeWith('pgbouncer', name, body);
}

/** Describes a suite that starts `rabbitmq-server`, see `describeWithEngine`. */
export function describeWithRabbitMq(name: string, body: () => void): void {
  describeWith('rabbitmq-server', name, body);
}
