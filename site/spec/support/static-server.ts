import { once } from 'node:events';
import { createReadStream, statSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';

const TYPES: Readonly<Record<string, string>> = {
  '.css': 'text/css; charset=utf-8',
  '.html': 'text/html; charset=utf-8',
  '.ico': 'image/x-icon',
  '.js': 'text/javascript; charset=utf-8',
  '.json': 'application/json; charset=utf-8',
  '.mjs': 'text/javascript; charset=utf-8',
  '.png': 'image/png',
  '.svg': 'image/svg+xml',
  '.txt': 'text/plain; charset=utf-8',
  '.woff2': 'font/woff2',
  '.xml': 'application/xml; charset=utf-8',
};

/** Serves a folder under a base path, as the simplest static hosts do: it guesses no extension. */
export class StaticServer {
  readonly #server: Server;

  private constructor(
    private readonly folder: string,
    private readonly base: string,
  ) {
    this.#server = createServer((request, response) => this.#answer(request, response));
  }

  /** @param base such as `/sluice/` */
  static async start(folder: string, base: string): Promise<StaticServer> {
    const server = new StaticServer(folder, base);
    server.#server.listen(0, '127.0.0.1');
    await once(server.#server, 'listening');
    return server;
  }

  get origin(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Returns the URL of a path below the base. */
  url(below = ''): string {
    return `${this.origin}${this.base}${below}`;
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, 'close');
  }

  #answer({ url = '/' }: IncomingMessage, response: ServerResponse): void {
    const { pathname } = new URL(url, this.origin);
    const file = this.#find(decodeURIComponent(pathname));
    const found = file ?? path.join(this.folder, '404.html');
    const immutable = found.includes(`${path.sep}assets${path.sep}`);
    response.writeHead(file === undefined ? 404 : 200, {
      'content-type': TYPES[path.extname(found)] ?? 'application/octet-stream',
      'cache-control': immutable ? 'max-age=31536000, immutable' : 'no-cache',
    });
    createReadStream(found)
      .on('error', () => response.destroy())
      .pipe(response);
  }

  #find(pathname: string): string | undefined {
    if (!pathname.startsWith(this.base)) return undefined;
    const wanted = path.join(this.folder, pathname.slice(this.base.length));
    if (!wanted.startsWith(this.folder)) return undefined;
    const file = pathname.endsWith('/') ? path.join(wanted, 'index.html') : wanted;
    return statSync(file, { throwIfNoEntry: false })?.isFile() ? file : undefined;
  }
}
