import type { ConnectionOptions } from 'rabbitmq-client';
import { decodeAll, type UrlRule } from '../core/options.js';

/** The format of a RabbitMQ URL. */
export const RABBITMQ_URL: UrlRule = {
  expected: 'a URL such as amqp://user:password@host:5672/vhost, or amqps:// for TLS',
  whereOf: (url) => {
    try {
      const { protocol, host, hostname, pathname, username, password } = new URL(url);
      decodeAll(username, password, pathname);
      return /^amqps?:$/.test(protocol) && hostname !== '' && /^\/?[^/]*$/.test(pathname) ? host : undefined;
    } catch {
      // The caller reports the invalid URL.
      return undefined;
    }
  },
};

/** The ids of callers' clients. */
const clients = new WeakMap<object, number>();
let clientCount = 0;

/**
 * Identifies a server and its vhost within this process. URLs with the same host, port and vhost
 * have one id, whatever their users are. The client of a caller has an id of its own, because it
 * may have several hosts.
 */
export function serverIdOf(server: { readonly url: string } | { readonly client: object }): string {
  if ('url' in server) {
    const { hostname, port, vhost } = clientOptions(server.url);
    return `${hostname} ${port} ${vhost}`;
  }
  const number = clients.get(server.client) ?? ++clientCount;
  clients.set(server.client, number);
  return `client ${number}`;
}

/** This default user of a server may connect from the server's machine only. */
const DEFAULT_USER = 'guest';

const PORT = '5672';
const TLS_PORT = '5671';

/** Reads the options of the client from a URL. An IPv6 address loses its brackets. */
export function clientOptions(url: string): ConnectionOptions {
  const { protocol, hostname, port, pathname, username, password } = new URL(url);
  const tls = protocol === 'amqps:';
  return {
    hostname: hostname.replace(/^\[|\]$/g, ''),
    port: port || (tls ? TLS_PORT : PORT),
    username: username === '' ? DEFAULT_USER : decodeURIComponent(username),
    password: username === '' ? DEFAULT_USER : decodeURIComponent(password),
    vhost: decodeURIComponent(pathname.slice(1)) || '/',
    ...(tls && { tls }),
  };
}
