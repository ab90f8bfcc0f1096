import { describeWithNats, describeWithRabbitMq, describeWithRedis } from '../support/servers/describe-with.js';
import type { Broker, FaultyServer } from './broker.js';
import { ClosingProcess, type ClosingSettings } from './closing-process.js';
import { nats } from './nats/broker.js';
import { rabbitMq } from './rabbitmq/broker.js';
import { redis } from './redis/broker.js';
import { Stage } from './stage.js';

/** A process whose server keeps and accepts connections, and does not answer until the process has ended. */
function closedProcesses<Server extends FaultyServer>(broker: Broker<Server>) {
  const stage = new Stage(broker);

  const expectEnd = async (settings: Pick<ClosingSettings, 'role' | 'handedIn'>) => {
    if (settings.role === 'consumer') await stage.open().queue.publish('key', { n: 1 });
    const { proxy, url } = await stage.proxy();
    const options = { url, name: stage.name, publishTimeout: 4000 };
    const process = await ClosingProcess.start({ backend: broker.backend, options, ...settings });
    stage.ending(() => process.kill());
    proxy.stall();
    const { exit, resources } = await process.close();
    expect(exit).toBe(0);
    expect(resources).not.toContain('Timeout');
  };

  it('ends by itself, with an acknowledgement on its way', () => expectEnd({ role: 'consumer' }));

  it('ends by itself, with a publish on its way', () => expectEnd({ role: 'publisher' }));

  return expectEnd;
}

describeWithRedis('A process that has closed its queue while Redis does not answer', () => void closedProcesses(redis));

describeWithNats('A process that has closed its queue while NATS does not answer', () => void closedProcesses(nats));

describeWithRabbitMq('A process that has closed its queue while RabbitMQ does not answer', () => {
  const expectEnd = closedProcesses(rabbitMq);

  it('ends by itself when it has destroyed a connection that it had handed in', () =>
    expectEnd({ role: 'consumer', handedIn: true }));
});
