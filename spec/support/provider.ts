import type { Logger, QueueBackend } from 'sluice';

/** The static side of a provider's backend class. */
export interface BackendClass {
  new (options: never): QueueBackend;
  readonly name: string;
  fromEnv(env?: Readonly<Record<string, string | undefined>>, options?: { readonly logger?: Logger }): QueueBackend;
}

/** The URLs that a provider accepts and refuses. */
export interface ProviderUrls {
  readonly scheme: string;
  /** The environment variable that holds a URL. */
  readonly variable: string;
  /** The example URL in error messages. */
  readonly example: string;
  /**
   * Valid URLs, invalid URLs, and invalid URLs with the password `s3cret`, beyond those that every
   * scheme has.
   */
  readonly good: readonly string[];
  readonly bad: readonly string[];
  readonly secret: readonly string[];
}

export const REDIS: ProviderUrls = {
  scheme: 'redis',
  variable: 'REDIS_URL',
  example: 'redis://user:password@host:6379/0',
  good: [
    'redis://localhost:6380/3',
    'redis://user:pass%20word@[::1]:6379/0',
    'redis://:p%40ss@localhost/',
    'rediss://example.org:6380',
    'unix:///run/redis.sock',
    'unix:///run/my%20redis.sock?db=2',
    'unix://user:password@/run/redis.sock',
  ],
  bad: [
    'localhost:6379',
    'redis:///0',
    'redis://localhost/zero',
    'redis://localhost/0/1',
    'unix://',
    'unix:///',
    'unix:/run/redis.sock',
    'unix:///run/%zz.sock',
    'unix:///run/redis.sock?db=three',
  ],
  secret: ['unix:s3cret', 'redis://:s3cret@host/database'],
};

export const NATS: ProviderUrls = {
  scheme: 'nats',
  variable: 'NATS_URL',
  example: 'nats://user:password@host:4222',
  good: [
    'nats://localhost:4223',
    'nats://user:pass%20word@[::1]:4222',
    'nats://t%40ken@localhost',
    'tls://example.org:4443',
    'nats://one,nats://two:4223, tls://three',
    'nats://user:password@one,nats://two',
  ],
  bad: [
    'localhost:4222',
    'nats:///',
    'nats://localhost/path',
    'nats://localhost?x=1',
    'nats://localhost#x',
    'nats://localhost,',
    'nats://one,',
    ',nats://one',
    'nats://one;nats://two',
    'nats://one nats://two',
    'nats://:password@localhost',
  ],
  secret: [
    'nats://s3cret%@host',
    'nats://:s3cret@host',
    'nats://u:s3cret@host/path',
    'nats://one,nats://user:s3cret@',
    'nats://a:s3cret@host,http://host',
  ],
};

export const RABBITMQ: ProviderUrls = {
  scheme: 'amqp',
  variable: 'RABBITMQ_URL',
  example: 'amqp://user:password@host:5672/vhost',
  good: [
    'amqp://localhost:5673/shop',
    'amqp://localhost/%2F',
    'amqp://localhost/a%2Fb',
    'amqp://user:pass%20word@[::1]:5672/shop',
    'amqp://us%40er:p%3Aw@localhost',
    'amqps://example.org:5671/shop?heartbeat=1',
  ],
  bad: ['localhost:5672', 'amqp:///shop', 'amqp:localhost', 'amqp://localhost/shop/floor', 'amqp://localhost/%zz'],
  secret: [],
};

export const POSTGRES: ProviderUrls = {
  scheme: 'postgres',
  variable: 'POSTGRES_URL',
  example: 'postgres://user:password@host:5432/database',
  good: [
    'postgresql://localhost:5433/shop',
    'postgres://user:pass%20word@[::1]:5432/shop',
    'postgres://us%40er:p%3Aw@localhost',
    'postgres://localhost/shop?sslmode=disable',
    'postgres:///shop?host=/run/postgresql',
    'pglite:memory',
    'pglite:./folder',
  ],
  bad: ['localhost:5432', 'postgres:localhost', 'pglite:', 'pglite'],
  secret: [],
};

/** Returns a URL where no server listens. */
export function nowhere({ scheme }: ProviderUrls): string {
  return `${scheme}://127.0.0.1:1`;
}

export function goodUrls({ scheme, good }: ProviderUrls): string[] {
  return [`${scheme}://localhost`, `${scheme}://localhost/`, ...good];
}

export function badUrls({ scheme, bad }: ProviderUrls): string[] {
  const foreign = ['http', 'ws', 'redis', 'nats', 'amqp', 'postgres', `x${scheme}`].filter((other) => other !== scheme);
  return [
    ...foreign.map((other) => `${other}://localhost`),
    ...[' ', '127.0.0.1', `${scheme}:`, `${scheme}://`, `${scheme}://local host`],
    ...['localhost:port', 'localhost:99999', ':100%@localhost', 'us%er@localhost'].map((rest) => `${scheme}://${rest}`),
    ...bad,
  ];
}

/** Returns invalid URLs that contain the password `s3cret`. */
export function secretUrls({ scheme, secret }: ProviderUrls): string[] {
  const logins = ['user:s3cret', ':s3cret'].flatMap((login) => [`${login}@`, `${login}@host:port`, `${login}%@host`]);
  return [
    's3cret',
    'http://user:s3cret@localhost',
    `${scheme}:s3cret`,
    ...logins.map((rest) => `${scheme}://${rest}`),
    ...secret,
  ];
}

/** Returns everything that an error shows: its message, its stack and its cause. */
export function shown({ message, stack, cause }: Error): string {
  return [message, stack, String(cause)].join();
}
