import { isDeepStrictEqual } from 'node:util';
import { describeWithSite } from '../support/describe-with-site.js';
import { openPlayground } from '../support/open-playground.js';

describeWithSite('The controls of the playground', (site) => {
  it('run, pause, step and stop a program by keyboard', async () => {
    const { page, ui } = await openPlayground(site, '#example=retries');
    await ui.setSpeed('Home');
    await ui.control('run').press('Enter');
    await ui.countsReach(({ orders }) => Number(orders?.['in-flight']) > 0);
    await ui.control('pause').press('Space');
    await ui.reach('paused');
    const paused = await ui.counts();
    let stepped = paused;
    for (let steps = 0; steps < 100 && isDeepStrictEqual(stepped, paused); steps += 1) {
      await ui.control('step').press('Enter');
      await ui.reach('paused');
      await page.evaluate(() => new Promise((resolve) => requestAnimationFrame(resolve)));
      stepped = await ui.counts();
    }
    expect(stepped).not.toEqual(paused);
    await ui.control('pause').press('Enter');
    await ui.reach('running');
    await ui.control('stop').press('Enter');
    await ui.reach('stopped');
  });

  it('change the speed of a program that runs', async () => {
    const { page, ui } = await openPlayground(site, '#example=retries');
    await ui.setSpeed('Home');
    const slow = await ui.control('speed').getAttribute('aria-valuetext');
    await ui.control('run').click();
    await ui.reach('running');
    await ui.setSpeed('End');
    expect(await ui.control('speed').getAttribute('aria-valuetext')).not.toBe(slow);
    await ui.reach('finished');
    await page.getByText('dead letter: order 3').last().waitFor();
  });
});
