import { closingProcesses } from './closing-process.js';
import { describeWithEveryEngine } from './every-engine.js';
import { Stage } from './stage.js';

describeWithEveryEngine('A process that has closed its queue while %s does not answer', (broker) => {
  const expectEnd = closingProcesses(new Stage(broker));

  it('ends by itself, with an acknowledgement on its way', () => expectEnd({ role: 'consumer' }));

  it('ends by itself, with a publish on its way', () => expectEnd({ role: 'publisher' }));
});
