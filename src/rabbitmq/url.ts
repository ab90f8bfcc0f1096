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

/** The numbers of clients that were handed in. */
const clients = new WeakMap<object, number>();
let clientCount = 0;

/**
 * Returns an id of a server and its vhost, within this process. URLs with the same host, port and
 * vhost have the same id, whatever their users are. A client that was handed in has its own id: it
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

/** The default user of a server, which may connect from its own machine only. */
const DEFAULT_USER = 'guest';

/** The default ports. */
const PORT = '5672';
const TLS_PORT = '5671';

/**
 * Returns the client's options for a URL: with a user, and an IPv6 address without its brackets.
 */
export function clientOptions(url: string): {
  hostname: string;
  port: string;
  username: string;
  password: string;
  vhost: string;
  tls?: true;
} {
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
