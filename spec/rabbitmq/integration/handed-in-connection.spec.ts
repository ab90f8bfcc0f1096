import { closingProcesses } from '../../integration/closing-process.js';
import { Stage } from '../../integration/stage.js';
import { describeWithRabbitMq } from '../../support/servers/describe-with.js';
import { broker } from './broker.js';

describeWithRabbitMq('A process that has closed its queue while RabbitMQ does not answer', () => {
  const expectEnd = closingProcesses(new Stage(broker));

  it('exits after it has destroyed its given connection', () => expectEnd({ role: 'consumer', handedIn: true }));
});
