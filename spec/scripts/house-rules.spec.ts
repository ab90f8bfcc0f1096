import { callScript } from '../support/call-script.js';

/** Applies a rule to files. Returns paths if the rule finds files. */
function apply(rule: string, files: Readonly<Record<string, string>>, ...args: readonly unknown[]): unknown {
  const result = callScript(
    'lib/house-rules.mjs',
    'script[input.rule](new Map(Object.entries(input.files)), ...input.args)',
    { rule, files, args },
  );
  return Array.isArray(result) ? result.map((each) => each.fileName ?? each) : result;
}

describe('Rules that measure the code', () => {
  it('counts the lines of folders, including blank lines and comments', () => {
    const files = {
      'src/core/a.ts': '// A comment\n\nexport {};\n',
      'src/redis/scripts/b.ts': 'export {};\n',
      'src/corel.ts': '\n',
    };
    expect(apply('lines', files, ['core', 'redis'])).toBe(4);
  });

  it('finds the places that name an engine outside its folders and the documentation', () => {
    const files = {
      'src/kafka/index.ts': 'kafka',
      'spec/kafka/contract.spec.ts': 'kafka',
      'bench/kafka/index.mjs': 'kafka',
      'bench/results.json': 'kafka',
      'docs/guides/on-kafka.md': 'kafka',
      'README.md': 'kafka',
      'spec/integration/kafka.ts': 'kafka',
      'package.json': '{ "kafkajs": "^1.0.0" }',
      'src/index.ts': '',
    };
    expect(apply('placesThatName', files, 'kafka')).toEqual(['spec/integration/kafka.ts', 'package.json']);
  });

  it('finds the files that name a field in code, not in comments', () => {
    const files = {
      'src/backend.ts': 'export type MessageHeaders = Record<string, string>;',
      'src/internal/carry.ts': 'export const carry = ({ headers }) => headers;',
      'src/core/codec.ts': '// headers\nexport const name = "headers";',
      'src/nats/client.ts': 'client.send({ headers });',
      'src/nats/message.ts': 'export const write = writeHeaders;',
      'src/index.ts': "export type { MessageHeaders } from './backend.js';",
      'src/testing/cases/order.ts': 'publish({ headers });',
      'spec/backend.spec.ts': 'message.headers;',
    };
    expect(apply('filesOfCarriedField', files)).toEqual([
      'src/backend.ts',
      'src/internal/carry.ts',
      'src/nats/message.ts',
    ]);
  });

  it('finds the files of a settlement by its types and by the name of a kind', () => {
    const files = {
      'src/core/delivery.ts': "settle('released');",
      'src/core/in-flight.ts': 'export type Ended = Settled;',
      'src/memory/queue.ts': '// released\ndelivery.release();',
    };
    expect(apply('filesOfSettlement', files)).toEqual(['src/core/delivery.ts', 'src/core/in-flight.ts']);
  });

  describe('of a counter', () => {
    const core = {
      'src/core/connection.ts': 'export class Connection {}',
      'src/core/outbox.ts': 'export class Outbox {}',
      'src/core/broker-backend.ts': 'export class BrokerBackend {}',
    };

    it('finds the files that declare, construct or extend the classes of the core', () => {
      const files = {
        ...core,
        'src/kafka/link.ts': "import { Connection as Link } from '../core/connection.js';\nnew Link();",
        'src/kafka/client.ts': "import { Connection } from 'kafkajs';\nnew Connection();",
        'src/kafka/kafka-backend.ts':
          "import { BrokerBackend } from '../core/broker-backend.js';\nexport class KafkaBackend extends BrokerBackend {}",
      };
      expect(apply('filesOfCounter', files)).toEqual([
        ...Object.keys(core),
        'src/kafka/link.ts',
        'src/kafka/kafka-backend.ts',
      ]);
    });

    it('finds the files that declare the events and show the counter if the core has events', () => {
      const files = {
        ...core,
        'src/core/events.ts': 'export class QueueEvents {}',
        'src/core/driver-backend.ts': 'export class DriverBackend {}',
        'src/kafka/driver.ts': "import { QueueEvents } from '../core/events.js';\nnew QueueEvents();",
      };
      expect(apply('filesOfCounter', files)).toEqual(['src/core/events.ts', 'src/core/driver-backend.ts']);
    });

    it('throws if the core has other classes', () => {
      const { 'src/core/outbox.ts': _, ...others } = core;
      expect(() => apply('filesOfCounter', others)).toThrow(/The core declares no class Outbox/);
      const { 'src/core/connection.ts': __, ...rest } = core;
      expect(() => apply('filesOfCounter', rest)).toThrow(/The core declares no class Connection/);
    });
  });

  it('finds the classes that settle by themselves', () => {
    const files = {
      'src/core/delivery.ts': 'class Base { ack() {} nack() {} }\nclass Kept extends Base {}\nclass Half { ack() {} }',
    };
    expect(apply('deliveryClasses', files)).toEqual(['Base']);
  });
});
