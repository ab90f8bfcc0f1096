import { examples } from '../examples/index';
import { fragmentOf, programOf } from '../playground/fragment';

const [first, second] = examples as [(typeof examples)[0], (typeof examples)[0]];
const unlisted = examples.filter(({ listed }) => !listed);
const INSTEAD = 'The first example is shown instead.';

describe('the fragment of a program', () => {
  it.each(examples.filter(({ listed }) => listed).map(({ name, code }) => [name, code]))(
    'names an example that was not changed: %s',
    async (name, code) => {
      expect(await fragmentOf(code)).toBe(`#example=${name}`);
      expect(await programOf(`#example=${name}`)).toEqual({ code });
    },
  );

  it('holds the code of all others', async () => {
    expect(unlisted.length).toBeGreaterThan(0);
    for (const code of [`${first.code}\n`, '', 'a', ...unlisted.map((one) => one.code)]) {
      const fragment = await fragmentOf(code);
      expect(fragment).toMatch(/^#code=/);
      expect(await programOf(fragment)).toEqual({ code });
    }
  });
});

describe('the program of a fragment', () => {
  it('is an example that the playground does not list, too', async () => {
    for (const { name, code } of unlisted) expect(await programOf(`#example=${name}`)).toEqual({ code });
  });

  it.each(['', '#', '#VPContent', '#playground', '#examples'])(
    'is the first example, without a problem, if it holds none: %j',
    async (fragment) => {
      expect(await programOf(fragment)).toEqual({ code: first.code });
    },
  );

  it.each(['#code=damaged', '#code=', '#code=%', 'code=%'])(
    'is the first example if it is damaged: %s',
    async (fragment) => {
      expect(await programOf(fragment)).toEqual({ code: first.code, problem: `This link is damaged. ${INSTEAD}` });
    },
  );

  it('is the first example if there is no such example', async () => {
    expect(await programOf('#example=a%20b')).toEqual({
      code: first.code,
      problem: `There is no example "a b". ${INSTEAD}`,
    });
    expect((await programOf('#example=%')).problem).toBe(`This link is damaged. ${INSTEAD}`);
    expect((await programOf(`#example=${second.name}x`)).problem).toContain('There is no example');
  });
});
