import { createServer, type Socket } from 'node:net';
import { connect } from '@nats-io/transport-node';
import { newInbox, socketOf } from '../../src/nats/link.js';
import { eventually } from '../support/eventually.js';
import { NatsSuite } from '../support/nats-suite.js';
import { failureOf } from '../support/promises.js';
import { describeWithNats } from '../support/servers/describe-with.js';

describe('The defect of the NATS client', () => {
  it('leaves its socket open if the server never greets: when it is fixed, remove `greeted` in server.ts', async () => {
    const sockets: Socket[] = [];
    let closed = 0;
    const server = createServer((socket) => {
      sockets.push(socket.on('close', () => closed++).on('error', () => {}));
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    try {
      const { port } = server.address() as { port: number };
      await failureOf(connect({ servers: `127.0.0.1:${port}`, timeout: 100, reconnect: false }));
      await eventually(() => sockets.length === 1);
      expect([closed, sockets[0]?.destroyed]).toEqual([0, false]);
    } finally {
      for (const socket of sockets) socket.destroy();
      server.close();
    }
  });
});

describeWithNats('The private parts of the NATS client', () => {
  const suite = new NatsSuite();

  it('include a socket that counts the bytes of a message before all of it has arrived', async () => {
    const connection = await suite.client();
    const before = socketOf(connection)?.bytesRead ?? Number.NaN;
    await connection.flush();
    expect(socketOf(connection)?.bytesRead).toBeGreaterThan(before);
  });

  it('include the prefix of its inboxes', async () => {
    const connection = await suite.client({ inboxPrefix: '_INBOX_app' });
    expect(newInbox(connection)).toMatch(/^_INBOX_app\./);
  });
});
