import { PostgresBackend } from 'sluice/postgres';
import { POSTGRES } from '../support/provider.js';
import { providerEnvironment } from '../support/provider-environment.js';

providerEnvironment(PostgresBackend, POSTGRES);
