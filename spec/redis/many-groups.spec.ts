import { listGroups } from '../../src/redis/administration.js';
import { queueKeys } from '../../src/redis/keys.js';
import type { RedisLink } from '../../src/redis/link.js';
import { upTo } from '../support/consumers.js';
import { turns } from '../support/promises.js';

describe('listGroups', () => {
  it('describes a few groups at a time, so that no reply waits behind all others', async () => {
    let unanswered = 0;
    let most = 0;
    const answer = async (value: unknown) => {
      unanswered += 1;
      most = Math.max(most, unanswered);
      await turns(1);
      unanswered -= 1;
      return value;
    };
    const link = {
      send: ([command, what]: readonly string[]) =>
        answer(command === 'XINFO' && what === 'GROUPS' ? upTo(100).map((n) => ['name', `g${n}`]) : []),
      run: () => answer([1, 2]),
    } as unknown as RedisLink;
    const groups = await listGroups(link, queueKeys('orders'), 30_000);
    expect(groups).toHaveLength(100);
    expect(groups[7]).toEqual({ name: groups[7]?.name, ready: 1, unfinished: 2, consumers: 0 });
    expect(most).toBeLessThan(5);
  });
});
