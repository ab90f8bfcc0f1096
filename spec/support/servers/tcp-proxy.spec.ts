import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { until } from '../promises.js';
import { TcpProxy } from './tcp-proxy.js';

/** A server that answers `<TEXT>` with `TEXT` and records what it receives. */
interface Echo {
  readonly server: Server;
  readonly port: number;
  readonly sockets: Set<Socket>;
  heard: string;
}

async function startEcho(): Promise<Echo> {
  const sockets = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket)).on('error', () => undefined);
    socket.on('end', () => socket.end());
    socket.setEncoding('utf8').on('data', (text: string) => {
      echo.heard += text;
      socket.write(text.toUpperCase());
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const echo: Echo = { server, port: (server.address() as { port: number }).port, sockets, heard: '' };
  return echo;
}

class Client {
  heard = '';
  closed = false;
  error: string | undefined;
  readonly socket: Socket;

  constructor(port: number) {
    this.socket = connect(port, '127.0.0.1');
    this.socket.setEncoding('utf8').on('data', (text: string) => {
      this.heard += text;
    });
    this.socket.on('close', () => {
      this.closed = true;
    });
    this.socket.on('error', (error: NodeJS.ErrnoException) => {
      this.error = error.code;
    });
  }
}

/** Waits long enough for unblocked bytes to arrive. */
const aWhile = () => new Promise((resolve) => setTimeout(resolve, 50));

describe('TcpProxy', () => {
  let echo: Echo;
  let proxy: TcpProxy;
  const clients: Client[] = [];

  const newClient = () => {
    const client = new Client(proxy.port);
    clients.push(client);
    return client;
  };

  beforeEach(async () => {
    echo = await startEcho();
    proxy = await TcpProxy.start(echo.port);
  });

  afterEach(async () => {
    for (const { socket } of clients.splice(0)) socket.destroy();
    await proxy.stop();
    for (const socket of echo.sockets) socket.destroy();
    echo.server.close();
    await once(echo.server, 'close');
  });

  it('passes bytes in both directions and counts them', async () => {
    const client = newClient();
    client.socket.write('hello');
    await until(() => client.heard === 'HELLO');
    expect(proxy.connections).toBe(1);
    expect(proxy.bytes).toEqual({ 'to-target': 5, 'to-client': 5 });
  });

  it('passes more than the buffers of a socket hold', async () => {
    const client = newClient();
    const text = 'x'.repeat(5_000_000);
    client.socket.write(text);
    await until(() => client.heard.length === text.length);
    expect(echo.heard).toHaveLength(text.length);
  });

  it('passes the end of a connection', async () => {
    const client = newClient();
    client.socket.end('bye');
    await until(() => client.closed && proxy.connections === 0);
    expect(client.heard).toBe('BYE');
    expect(proxy.accepted).toBe(1);
  });

  it('passes nothing while it stalls, and everything afterwards', async () => {
    const before = newClient();
    before.socket.write('a');
    await until(() => before.heard === 'A');
    proxy.stall();
    before.socket.write('b');
    const during = newClient();
    during.socket.write('c');
    await until(() => proxy.accepted === 2);
    await aWhile();
    expect(echo.heard).toBe('a');
    expect(before.closed || during.closed).toBe(false);
    proxy.resume();
    await until(() => before.heard === 'AB' && during.heard === 'C');
  });

  it('can stall only the direction to the client', async () => {
    const client = newClient();
    proxy.stall('to-client');
    client.socket.write('a');
    await until(() => echo.heard === 'a');
    await aWhile();
    expect(client.heard).toBe('');
    proxy.resume();
    await until(() => client.heard === 'A');
  });

  it('can stall only the direction to the target', async () => {
    const client = newClient();
    await until(() => echo.sockets.size === 1);
    proxy.stall('to-target');
    for (const socket of echo.sockets) socket.write('news');
    client.socket.write('a');
    await until(() => client.heard === 'news');
    await aWhile();
    expect(echo.heard).toBe('');
  });

  it('limits the speed of each direction', async () => {
    const client = newClient();
    await until(() => echo.sockets.size === 1);
    const before = performance.now();
    proxy.throttle(400_000);
    client.socket.write('a'.repeat(200_000));
    await until(() => client.heard.length === 200_000);
    expect(client.heard).toBe('A'.repeat(200_000));
    // The last chunk that was read, at most 64 kB, is passed without a delay.
    expect(performance.now() - before).toBeGreaterThan(300);
  });

  it('can stall a throttled connection', async () => {
    const client = newClient();
    await until(() => echo.sockets.size === 1);
    proxy.throttle(100_000);
    client.socket.write('a'.repeat(5000));
    await until(() => client.heard.length > 0);
    proxy.stall('to-client');
    client.socket.write('b');
    await until(() => echo.heard.endsWith('b'));
    await aWhile();
    expect(client.heard).not.toContain('B');
    proxy.resume();
    await until(() => client.heard.endsWith('B'));
  });

  it('cuts every connection, even a stalled one, and accepts new ones', async () => {
    const client = newClient();
    await until(() => echo.sockets.size === 1);
    proxy.stall();
    client.socket.write('lost');
    proxy.cut();
    await until(() => client.closed && echo.sockets.size === 0);
    expect(proxy.connections).toBe(0);
    proxy.resume();
    const next = newClient();
    next.socket.write('a');
    await until(() => next.heard === 'A');
    expect(echo.heard).toBe('a');
  });

  it('refuses new connections and keeps open ones until it accepts again', async () => {
    const old = newClient();
    await until(() => echo.sockets.size === 1);
    await proxy.refuse();
    const refused = newClient();
    await until(() => refused.closed);
    expect(refused.error).toBe('ECONNREFUSED');
    old.socket.write('a');
    await until(() => old.heard === 'A');
    await proxy.accept();
    const next = newClient();
    next.socket.write('b');
    await until(() => next.heard === 'B');
  });

  it('closes a connection if its target is unreachable', async () => {
    const nowhere = await TcpProxy.start(1);
    const client = new Client(nowhere.port);
    clients.push(client);
    await until(() => client.closed);
    await nowhere.stop();
  });
});
