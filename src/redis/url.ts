import { decodeAll, type UrlRule } from '../core/options.js';

/** As node-redis reads it: a socket's path is no part of a URL that `URL` would take with a user. */
const UNIX = /^unix:\/\/(?:([^:@/]*)(?::([^@/]*))?@)?(\/[^?#]+)(?:\?([^#]*))?(?:#.*)?$/;

/** What a URL of a Redis server looks like, and where it leads. */
export const REDIS_URL: UrlRule = {
  expected: 'a URL such as redis://user:password@host:6379/0, rediss:// for TLS, or unix:///path',
  whereOf: (url) => {
    try {
      const unix = UNIX.exec(url);
      if (unix !== null) {
        const [, user = '', password = '', path = '', query = ''] = unix;
        decodeAll(user, password);
        return /^\d*$/.test(new URLSearchParams(query).get('db') ?? '') ? decodeURIComponent(path) : undefined;
      }
      const { protocol, host, hostname, pathname, username, password } = new URL(url);
      decodeAll(username, password);
      return /^rediss?:$/.test(protocol) && hostname !== '' && /^\/?\d*$/.test(pathname) ? host : undefined;
    } catch {
      // It is not a URL. The caller says what it expects instead.
      return undefined;
    }
  },
};
