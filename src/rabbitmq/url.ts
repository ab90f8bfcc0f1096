import { decodeAll, type UrlRule } from '../broker/options.js';

/** What a URL of a RabbitMQ server looks like, and where it leads. */
export const RABBITMQ_URL: UrlRule = {
  expected: 'a URL such as amqp://user:password@host:5672/vhost, or amqps:// for TLS',
  whereOf: (url) => {
    try {
      const { protocol, host, hostname, pathname, username, password } = new URL(url);
      decodeAll(username, password, pathname);
      return /^amqps?:$/.test(protocol) && hostname !== '' && /^\/?[^/]*$/.test(pathname) ? host : undefined;
    } catch {
      return undefined;
    }
  },
};

/** The user that a server has unless it was given others; it is let in from its own machine only. */
const DEFAULT_USER = 'guest';

/** The URL as the client has to get it: with a user, and without what the options of the queue decide. */
export function clientUrl(url: string): string {
  const parsed = new URL(url);
  for (const ours of ['heartbeat', 'connection_timeout']) parsed.searchParams.delete(ours);
  if (parsed.username === '') {
    parsed.username = DEFAULT_USER;
    parsed.password = DEFAULT_USER;
  }
  return parsed.href;
}

/** The host as the client has to get it: an address of IPv6 without its brackets. */
export function hostOf(url: string): string {
  return new URL(url).hostname.replace(/^\[|\]$/g, '');
}
