import { ConfigurationError } from 'sluice';
import { thrownBy } from './promises.js';
import { type BackendClass, badUrls, nowhere, type ProviderUrls, secretUrls, shown } from './provider.js';

/** Tests a provider's `fromEnv`: the variables it reads, the values it refuses and its messages. */
export function providerEnvironment(Backend: BackendClass, urls: ProviderUrls): void {
  const { variable, example } = urls;
  const url = { [variable]: nowhere(urls) };

  /** Returns the error that `fromEnv` throws for these variables. */
  const failureWith = (env: Record<string, string | undefined>): Error => {
    const error = thrownBy(() => Backend.fromEnv(env));
    expect(ConfigurationError.is(error)).toBe(true);
    return error as Error;
  };

  describe(`${Backend.name}.fromEnv`, () => {
    it.each<readonly [name: string, value: string | undefined]>([
      [variable, undefined],
      [variable, ''],
      ...badUrls(urls).map((bad) => [variable, bad] as const),
      ['QUEUE_NAME', 'x'.repeat(256)],
      ['QUEUE_GROUPS', 'billing,,audit'],
      ['QUEUE_GROUPS', 'billing,'],
      ['QUEUE_GROUPS', ' '],
      ['QUEUE_GROUPS', 'x'.repeat(256)],
      ['QUEUE_LEASE', '30s'],
      ['QUEUE_LEASE', '99'],
      ['QUEUE_LEASE', '-1000'],
      ['QUEUE_LEASE', '1e5'],
      ['QUEUE_LEASE', '1000.5'],
      ['QUEUE_LEASE', ' 1000'],
      ['QUEUE_LEASE', '99999999999999999999'],
      ['QUEUE_LEASE', String(2 ** 31)],
      ['QUEUE_PUBLISH_TIMEOUT', '0'],
      ['QUEUE_PUBLISH_TIMEOUT', String(2 ** 31)],
      ['QUEUE_PUBLISH_TIMEOUT', 'never'],
      ['QUEUE_PUBLISH_TIMEOUT', '0x10'],
    ])('refuses %s=%s, and names it', (name, value) => {
      const { message } = failureWith({ ...url, [name]: value });
      expect(message).toContain(name);
      expect(message).toContain('Expected');
    });

    it('describes the expected values in its message', () => {
      expect(failureWith({}).message).toContain(example);
      expect(failureWith({ ...url, QUEUE_LEASE: '5' }).message).toMatch(/whole number of milliseconds, .*100/);
      expect(failureWith({ ...url, QUEUE_PUBLISH_TIMEOUT: 'x' }).message).toMatch(/whole number of milliseconds, .*1/);
      expect(failureWith({ ...url, QUEUE_GROUPS: 'a,,b' }).message).toContain('separated by commas');
    });

    it.each(secretUrls(urls))('does not show the URL in its message (%s)', (secret) => {
      expect(shown(failureWith({ [variable]: secret }))).not.toContain('s3cret');
    });

    it('ignores empty variables', async () => {
      const queue = Backend.fromEnv({
        ...url,
        QUEUE_NAME: '',
        QUEUE_GROUPS: '',
        QUEUE_LEASE: '',
        QUEUE_PUBLISH_TIMEOUT: '',
      });
      expect(queue.name).toBe('default');
      await queue.close();
    });

    it('reads `process.env` by default', async () => {
      const { env } = process;
      process.env = { ...env, ...url, QUEUE_NAME: 'of-the-process' };
      try {
        const queue = Backend.fromEnv();
        expect(queue.name).toBe('of-the-process');
        await queue.close();
      } finally {
        process.env = env;
      }
    });

    it('throws a TypeError if the logger has no logging methods', () => {
      expect(() => Backend.fromEnv(url, { logger: {} as never })).toThrow(TypeError);
      expect(() => Backend.fromEnv(url, null as never)).toThrow(TypeError);
    });
  });
}
