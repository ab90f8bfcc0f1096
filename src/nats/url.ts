import { decodeAll, type UrlRule } from '../core/options.js';

const DEFAULT_PORT = '4222';

export interface NatsAddress {
  /** Host and port of each server. */
  readonly servers: string[];
  readonly tls: boolean;
  readonly user?: string;
  readonly pass?: string;
  readonly token?: string;
}

export const NATS_URL: UrlRule = {
  expected:
    'a URL such as nats://user:password@host:4222, nats://token@host, or tls:// for TLS; several with commas between them',
  whereOf: (url) => parseUrl(url)?.servers.join(', '),
};

/**
 * Parses URLs that are separated by commas. The scheme of the first one, and credentials and TLS of
 * any, apply to all. Returns undefined if a URL is invalid.
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
    // The caller says what it expects.
    return undefined;
  }
}

function isServer({ protocol, hostname, pathname, search, hash, username, password }: URL): boolean {
  if (username === '' && password !== '') return false;
  return /^(nats|tls):$/.test(protocol) && hostname !== '' && /^\/?$/.test(pathname) && search === '' && hash === '';
}
