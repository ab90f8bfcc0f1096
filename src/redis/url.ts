import { decodeAll, type UrlRule } from '../core/options.js';

/** The URL of a Unix socket, as node-redis reads it. `URL` does not take a user before the path. */
const UNIX = /^unix:\/\/(?:([^:@/]*)(?::([^@/]*))?@)?(\/[^?#]+)(?:\?([^#]*))?(?:#.*)?$/;

/** The URLs that node-redis understands. */
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
      // This is not a URL. The caller reports the error.
      return undefined;
    }
  },
};
