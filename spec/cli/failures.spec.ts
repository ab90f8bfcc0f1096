import { oneLine, withoutControls, withoutPasswords } from '../../src/cli/failures.js';

describe('The errors of the command line', () => {
  it('hide user and password of each URL', () => {
    expect(withoutPasswords('redis://user:secret@host:1 and amqps://a:b@c/%2f, nats://host')).toBe(
      'redis://***@host:1 and amqps://***@c/%2f, nats://host',
    );
  });

  it('hide a password that contains an @ or a slash', () => {
    expect(withoutPasswords("unknown command 'redis://user:p@ss@host'")).toBe("unknown command 'redis://***@host'");
    expect(withoutPasswords('postgres://user:pa/ss@host/db')).toBe('postgres://***@host/db');
  });

  it('join the lines of a message', () => {
    expect(oneLine(new Error('Not installed. To install:\n  npm install redis\n  pnpm add redis'))).toBe(
      'Not installed. To install: npm install redis, or pnpm add redis',
    );
    expect(oneLine('one\n\ntwo')).toBe('one two');
  });

  it('control no terminal', () => {
    expect(withoutControls('a\u001b[31mb\u0007\u202ec\u009b')).toBe('a\\u001b[31mb\\u0007\\u202ec\\u009b');
  });
});
