import { once } from 'node:events';
import { connect } from 'node:net';
import { withDeadline } from '../../src/core/deadline.js';
import { failureOf } from '../support/promises.js';
import { StrangeServer } from '../support/servers/strange-server.js';

describe('withDeadline', () => {
  it('rejects when the deadline passes first, and ignores the late response', async () => {
    let answer!: (error: Error) => void;
    const request = new Promise<void>((_, reject) => {
      answer = reject;
    });
    expect((await failureOf(withDeadline(request, 5, () => new Error('late')))).message).toBe('late');
    answer(new Error('no'));
  });

  it('does not reject when the response came first', async () => {
    let late = 0;
    const answered = withDeadline(Promise.resolve(1), 1, () => {
      late += 1;
      return new Error('late');
    });
    expect(await answered).toBe(1);
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(late).toBe(0);
  });

  it('accepts a response that arrived while the event loop was blocked', async () => {
    const server = await StrangeServer.start((socket) =>
      socket.on('data', () => {
        socket.write('answer');
        // Client and server share this event loop: the deadline fires before the client can read.
        const end = performance.now() + 300;
        while (performance.now() < end);
      }),
    );
    const socket = connect(server.port, '127.0.0.1');
    await once(socket, 'connect');
    const answer = new Promise<string>((resolve) => socket.once('data', (data) => resolve(String(data))));
    socket.write('request');
    expect(await withDeadline(answer, 100, () => new Error('late'))).toBe('answer');
    socket.destroy();
    await server.stop();
  });
});
