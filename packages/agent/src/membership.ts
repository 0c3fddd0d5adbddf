import { mkdir, readFile, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { Secret } from '@sallyport/core';
import { createLinkIdentity, loadLinkIdentity, type LinkIdentity } from '@sallyport/link';
import { replaceFile } from './durable-file.ts';

/** The control plane that a gateway belongs to, and what it is called there. */
export interface Membership {
  /** SHA-256 of the control plane's link key, hex. */
  readonly controlKeyHash: string;
  readonly gatewayId: string;
}

/** A gateway's own files: `link.crt` and `link.key`, `membership.json`, `state`, `reports`. All are for its owner alone. */
export class GatewayFiles {
  readonly directory: string;

  constructor(directory: string) {
    this.directory = directory;
  }

  get statePath(): string {
    return join(this.directory, 'state');
  }

  get reportsPath(): string {
    return join(this.directory, 'reports');
  }

  /** The gateway's identity; a new one where there is none yet. Throws where a file can't be read or written. */
  async identity(): Promise<LinkIdentity> {
    await mkdir(this.directory, { recursive: true, mode: 0o700 });
    const certificate = join(this.directory, 'link.crt');
    const key = join(this.directory, 'link.key');
    const stored = await readIfThere(key);
    if (stored !== undefined)
      try {
        return loadLinkIdentity({
          certificatePem: await readFile(certificate, 'utf8'),
          privateKeyPem: new Secret(stored),
        });
      } catch (cause) {
        const remedy = `restore it, or remove ${key} and let the gateway join again`;
        throw new Error(`the gateway's key in ${key} can't be used: ${remedy}`, { cause });
      }
    const identity = createLinkIdentity('sallyport gateway');
    await replaceFile(certificate, identity.certificatePem);
    await replaceFile(key, identity.privateKeyPem.reveal());
    return identity;
  }

  /** Undefined where it has joined no control plane yet. */
  async membership(): Promise<Membership | undefined> {
    const path = join(this.directory, 'membership.json');
    const text = await readIfThere(path);
    if (text === undefined) return undefined;
    try {
      const { controlKeyHash, gatewayId } = JSON.parse(text) as Record<string, unknown>;
      if (typeof controlKeyHash === 'string' && /^[0-9a-f]{64}$/.test(controlKeyHash) && typeof gatewayId === 'string')
        return { controlKeyHash, gatewayId };
    } catch {
      // Named below.
    }
    throw new Error(`${path} is damaged: remove it, and let the gateway join again`);
  }

  async saveMembership({ controlKeyHash, gatewayId }: Membership): Promise<void> {
    const text = `${JSON.stringify({ controlKeyHash, gatewayId })}\n`;
    await replaceFile(join(this.directory, 'membership.json'), text);
  }

  /** It belongs nowhere any more. */
  async setMembershipAside(suffix: string): Promise<void> {
    const path = join(this.directory, 'membership.json');
    await rename(path, `${path}.${suffix}`).catch((error: unknown) => {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    });
  }
}

async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}
