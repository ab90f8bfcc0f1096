import { closingProcesses } from './closing-process.js';
import { describeWithEveryEngine } from './every-engine.js';
import { Stage } from './stage.js';

describeWithEveryEngine('A process that has closed its queue while %s does not answer', (broker) => {
  const expectEnd = closingProcesses(new Stage(broker));

  it('exits by itself with an ack in transit', () => expectEnd({ role: 'consumer' }));

  it('exits by itself with a publish in transit', () => expectEnd({ role: 'publisher' }));
});
