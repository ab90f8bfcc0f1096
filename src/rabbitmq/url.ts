import { decodeAll, type UrlRule } from '../core/options.js';

/** What a URL of a RabbitMQ server looks like, and where it leads. */
export const RABBITMQ_URL: UrlRule = {
  expected: 'a URL such as amqp://user:password@host:5672/vhost, or amqps:// for TLS',
  whereOf: (url) => {
    try {
      const { protocol, host, hostname, pathname, username, password } = new URL(url);
      decodeAll(username, password, pathname);
      return /^amqps?:$/.test(protocol) && hostname !== '' && /^\/?[^/]*$/.test(pathname) ? host : undefined;
    } catch {
      // It is not a URL. The caller says what it expects instead.
      return undefined;
    }
  },
};

/** Clients that were handed in, with a number for each. */
const clients = new WeakMap<object, number>();
let clientCount = 0;

/**
 * Identifies a server, with its vhost, within this process. Two URLs with the same host, port and vhost have the same id, whatever their users are. A client
 * that was handed in has an id of its own: it may have several hosts.
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

/** The user that a server has unless it was given others; it is let in from its own machine only. */
const DEFAULT_USER = 'guest';

/** The ports of AMQP, where a URL says none. */
const PORT = '5672';
const TLS_PORT = '5671';

/** What a URL says, as options of the client: with a user, with an address of IPv6 without its brackets, and without what the options of the queue decide. */
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
