import type { Locator } from 'playwright-core';
import { eventually } from '../../../spec/support/eventually.js';
import type { RunState } from '../../playground/protocol.js';

/** The counts of the queues in a picture, in the shape of `site/examples/expected.json`. */
export type Counts = Readonly<Record<string, Readonly<Record<string, number | Readonly<Record<string, number>>>>>>;

/** A program with its controls and its picture, in the playground or in a guide. */
export class ProgramUi {
  readonly picture: Locator;
  readonly output: Locator;

  /** @param scope the element that contains the parts of one program */
  constructor(readonly scope: Locator) {
    this.picture = scope.getByTestId('picture');
    this.output = scope.getByTestId('output');
  }

  control(name: 'run' | 'pause' | 'step' | 'stop' | 'speed' | 'example' | 'editor' | 'copy-link'): Locator {
    return this.scope.getByTestId(name);
  }

  /** Moves the slider of the speed with the keyboard. */
  async setSpeed(key: 'Home' | 'End'): Promise<void> {
    await this.control('speed').press(key);
  }

  /** Waits until the program is in one of the states. */
  async reach(...states: readonly RunState[]): Promise<void> {
    const selector = states.map((state) => `[data-testid=state][data-state=${state}]`).join(', ');
    await this.scope.locator(selector).waitFor();
  }

  async state(): Promise<string | null> {
    return this.scope.getByTestId('state').getAttribute('data-state');
  }

  /** Runs the program to its end, as fast as possible. */
  async runToEnd(): Promise<void> {
    await this.setSpeed('End');
    await this.control('run').click();
    await this.reach('finished');
  }

  /**
   * Steps until the program has finished.
   * @param afterEach is called after each press, while the step may still be under way
   */
  async stepToEnd(afterEach: () => Promise<void>): Promise<void> {
    await eventually(
      async () => {
        // A click by the mouse would wait for a button that is disabled when the program ends.
        await this.control('step').evaluate((button) => (button as HTMLButtonElement).click());
        await afterEach();
        return (await this.state()) === 'finished';
      },
      () => 'It has not finished',
    );
  }

  /** Reads the counts in the picture. */
  async counts(): Promise<Counts> {
    const all = await this.picture.locator('[data-count]').evaluateAll((elements) =>
      elements.map((element) => {
        const { queue = '', group, count = '' } = (element as HTMLElement | SVGElement).dataset;
        return { queue, group, count, value: Number(element.textContent) };
      }),
    );
    const counts: Record<string, Record<string, number | Record<string, number>>> = {};
    for (const { queue, group, count, value } of all) {
      counts[queue] ??= {};
      const ofQueue = counts[queue];
      if (group === undefined) ofQueue[count] = value;
      else ofQueue[count] = { ...(ofQueue[count] as Record<string, number> | undefined), [group]: value };
    }
    return counts;
  }

  /** Waits until the counts satisfy a condition, such as that they have changed. */
  async countsReach(condition: (counts: Counts) => boolean): Promise<Counts> {
    let counts: Counts = {};
    await eventually(
      async () => {
        counts = await this.counts();
        return condition(counts);
      },
      () => counts,
    );
    return counts;
  }

  /** Reads the lines of the output. */
  async lines(): Promise<readonly string[]> {
    return (await this.output.locator('p').allTextContents()).map((line) => line.trim());
  }
}
