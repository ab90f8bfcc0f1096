import type { QueueFinding } from 'sluice';
import { Cli } from '../support/cli.js';
import { PostgresSuite } from '../support/postgres-suite.js';
import { describeWithPostgres } from '../support/servers/describe-with.js';

describeWithPostgres('sluice doctor for a role that may not read the groups', () => {
  const suite = new PostgresSuite({ password: 'hush' });

  it('says so, and with which rights it could', async () => {
    await suite.open().publish('key', { n: 1 });
    await suite.run("CREATE ROLE app LOGIN PASSWORD 'secret'");
    await suite.run('GRANT USAGE ON SCHEMA sluice TO app');
    await suite.run('GRANT SELECT ON ALL TABLES IN SCHEMA sluice TO app');
    await suite.run('REVOKE SELECT ON sluice.consumers FROM app');
    const url = suite.url.replace('//sluice:hush@', '//app:secret@');
    const cli = new Cli({
      QUEUE_BACKEND: 'postgres',
      POSTGRES_URL: url,
      QUEUE_NAME: suite.name,
      QUEUE_GROUPS: undefined,
    });
    suite.ending(() => cli.stop());
    const { code, out, err } = await cli.run('doctor');
    expect({ code, err }).toEqual({ code: 1, err: '' });
    const { findings } = JSON.parse(out) as { readonly findings: readonly QueueFinding[] };
    expect(findings).toContainEqual({
      code: 'groups-unreadable',
      severity: 'problem',
      message: expect.stringContaining('permission denied for table consumers'),
    });
    const rights = findings.find((finding) => finding.code === 'postgres-rights');
    expect(rights?.command).toContain('GRANT SELECT ON sluice.consumers TO "app"');
    expect(out).not.toContain('secret');
  });
});
