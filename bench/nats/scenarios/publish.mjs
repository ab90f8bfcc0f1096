import { publishWith } from '../../scenarios/servers/publish.mjs';

export const natsPublish64 = publishWith(64, {
  title: 'NATS: publish, 64 at a time',
  text: 'By 64 publishers, each of which awaits each publish, from the first until the last is confirmed. The limit is a `js.publish` with a `msgID` each.',
  contenders: ['sluice', 'jetstream'],
});
