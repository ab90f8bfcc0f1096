import { decodeAll, type UrlRule } from '../core/options.js';

/** Where a NATS server listens, unless its URL says otherwise. */
const DEFAULT_PORT = '4222';

/** What the URLs of the servers of one system say. */
export interface NatsAddress {
  /** Host and port of each. */
  readonly servers: string[];
  readonly tls: boolean;
  readonly user?: string;
  readonly pass?: string;
  readonly token?: string;
}

/** What a list of URLs of NATS servers looks like, and where they lead. */
export const NATS_URL: UrlRule = {
  expected:
    'a URL such as nats://user:password@host:4222, nats://token@host, or tls:// for TLS; several with commas between them',
  whereOf: (url) => parseUrl(url)?.servers.join(', '),
};

/**
 * Reads URLs with commas between them. A server without a scheme has that of the first one. Credentials and TLS may stand in any of them, and are the same
 * for all. Undefined for what is no such URL.
 */
export function parseUrl(text: string): NatsAddress | undefined {
  try {
    const [scheme = ''] = /^\s*\w+:\/\//.exec(text) ?? [];
    const urls = text
      .split(',')
      .map((url) => new URL(url.includes('://') ? url.trim() : `${scheme.trim()}${url.trim()}`));
    if (!urls.every(isServer)) return undefined;
    for (const { username, password } of urls) decodeAll(username, password);
    const { username = '', password = '' } = urls.find((url) => url.username !== '') ?? {};
    const name = decodeURIComponent(username);
    const login = password === '' ? { token: name } : { user: name, pass: decodeURIComponent(password) };
    return {
      servers: urls.map(({ hostname, port }) => `${hostname}:${port || DEFAULT_PORT}`),
      tls: urls.some(({ protocol }) => protocol === 'tls:'),
      ...(name !== '' && login),
    };
  } catch {
    // It is not a URL. The caller says what it expects instead.
    return undefined;
  }
}

function isServer({ protocol, hostname, pathname, search, hash, username, password }: URL): boolean {
  if (username === '' && password !== '') return false;
  return /^(nats|tls):$/.test(protocol) && hostname !== '' && /^\/?$/.test(pathname) && search === '' && hash === '';
}
