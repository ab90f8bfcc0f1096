import { thrownBy } from './promises.js';
import { type BackendClass, badUrls, goodUrls, nowhere, type ProviderUrls, secretUrls, shown } from './provider.js';
import { silentLogger } from './recording-logger.js';

/** Invalid options, the class of the error and the part of the message that names the option. */
type Refused = readonly [options: object, type: typeof TypeError | typeof RangeError, message: RegExp];

interface OptionsOfItsOwn {
  /** A valid client. */
  readonly client: object;
  /** What a client must have, as the message says it. */
  readonly method: string;
  /** The valid and invalid options of this provider only. Options without a client get a URL. */
  readonly refused?: readonly Refused[];
  readonly taken?: readonly object[];
}

/** Tests the options of a provider's backend: valid values, invalid values and messages. */
export function providerOptions(Backend: BackendClass, urls: ProviderUrls, own: OptionsOfItsOwn): void {
  const { client } = own;
  const url = nowhere(urls);
  const construct = (options: unknown) => () => new Backend(options as never);
  const withUrl = (options: object) => ('client' in options ? options : { url, ...options });

  describe(`The options of a ${Backend.name}`, () => {
    it.each<Refused>([
      [{}, TypeError, /`url`.*got undefined/],
      [{ url: 5 }, TypeError, /`url`.*got 5/],
      [{ url: null }, TypeError, /`url`.*got null/],
      [{ url: '' }, TypeError, /`url`/],
      [{ url: [url] }, TypeError, /`url`/],
      [{ url, client }, TypeError, /`url`.*`client`/],
      [{ client: {} }, TypeError, new RegExp(`\`client\`.*\`${own.method}\``)],
      [{ client: null }, TypeError, /`client`/],
      [{ url, name: '' }, RangeError, /`name`/],
      [{ url, name: 7 }, TypeError, /`name`/],
      [{ url, name: 'x'.repeat(256) }, RangeError, /`name`/],
      [{ url, name: 'é'.repeat(128) }, RangeError, /`name`/],
      [{ url, name: '\uD83D' }, RangeError, /`name`/],
      [{ url, groups: [] }, RangeError, /`groups`.*empty/],
      [{ url, groups: 'billing' }, TypeError, /`groups`/],
      [{ url, groups: ['billing', ''] }, RangeError, /`groups\[1\]`/],
      [{ url, groups: [null] }, TypeError, /`groups\[0\]`/],
      [{ url, lease: 99 }, RangeError, /`lease`.*100/],
      [{ url, lease: '30s' }, TypeError, /`lease`/],
      [{ url, lease: Number.NaN }, RangeError, /`lease`/],
      [{ url, lease: Number.POSITIVE_INFINITY }, RangeError, /`lease`/],
      [{ url, lease: 2 ** 31 }, RangeError, /`lease`.*2147483647/],
      [{ url, publishTimeout: 2 ** 31 }, RangeError, /`publishTimeout`.*2147483647/],
      [{ url, publishTimeout: 0 }, RangeError, /`publishTimeout`/],
      [{ url, publishTimeout: -1 }, RangeError, /`publishTimeout`/],
      [{ url, publishTimeout: Number.NaN }, RangeError, /`publishTimeout`/],
      [{ url, publishTimeout: Number.POSITIVE_INFINITY }, RangeError, /`publishTimeout`/],
      [{ url, publishTimeout: '1s' }, TypeError, /`publishTimeout`/],
      [{ url, maxPending: 0 }, RangeError, /`maxPending`/],
      [{ url, maxPending: '7' }, TypeError, /`maxPending`/],
      [{ url, logger: {} }, TypeError, /`logger`/],
      [{ url, logger: console.log }, TypeError, /`logger`/],
      ...(own.refused ?? []).map(([options, type, message]): Refused => [withUrl(options), type, message]),
    ])('%p are refused', (options, type, message) => {
      expect(construct(options)).toThrow(type);
      expect(construct(options)).toThrow(message);
    });

    it.each([[undefined], [null], [url], [7]])('throw if they are %p instead of an object', (options) => {
      expect(construct(options)).toThrow(TypeError);
    });

    it('accept every value in range without connecting', async () => {
      for (const options of [
        { url },
        { url, name: 'x'.repeat(255), groups: ['a', 'a', 'ü'], lease: 100, publishTimeout: 1, maxPending: 1 },
        { url, lease: 2 ** 31 - 1, publishTimeout: 2 ** 31 - 1 },
        { url, lease: 100.5, publishTimeout: 0.5 + 1, logger: undefined },
        { client },
        ...(own.taken ?? []).map(withUrl),
      ]) {
        const queue = construct(options)();
        expect(queue.name).toBe('name' in options ? options.name : 'default');
        await queue.close();
      }
    });
  });

  describe(`The url of a ${Backend.name}`, () => {
    it.each(goodUrls(urls))('may be %s', async (good) => {
      await new Backend({ url: good, logger: silentLogger } as never).close();
    });

    it.each(badUrls(urls))('may not be %s', (bad) => {
      expect(construct({ url: bad })).toThrow(TypeError);
      expect(construct({ url: bad })).toThrow(`${urls.scheme}://`);
    });

    it.each(secretUrls(urls))('is not shown in an error message, since it may contain a password (%s)', (secret) => {
      expect(shown(thrownBy(construct({ url: secret })) as Error)).not.toContain('s3cret');
    });
  });
}
