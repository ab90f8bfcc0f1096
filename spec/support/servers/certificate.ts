import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';

export interface Certificate {
  /** The file of the private key. */
  readonly keyFile: string;
  /** The file of the certificate. */
  readonly certificateFile: string;
  /** The certificate that a client must trust, as PEM. */
  readonly ca: string;
}

/** Generates a self-signed certificate for a server on 127.0.0.1. @param folder for its files */
export async function makeCertificate(folder: string): Promise<Certificate> {
  const [keyFile, certificateFile] = [path.join(folder, 'key.pem'), path.join(folder, 'certificate.pem')];
  const names = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1'];
  const form = ['-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2'];
  await promisify(execFile)('openssl', ['req', ...form, ...names, '-keyout', keyFile, '-out', certificateFile]);
  return { keyFile, certificateFile, ca: await readFile(certificateFile, 'utf8') };
}
