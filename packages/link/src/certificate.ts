import { createPublicKey, sign, type KeyObject } from 'node:crypto';
import { der, derName, derSerial, GENERALIZED_TIME, pemCertificate, SEQUENCE, UTC_TIME } from './der.ts';

/** id-Ed25519, 1.3.101.112 (RFC 8410 section 3); it has no parameters. */
const ED25519 = Buffer.from('06032b6570', 'hex');

/**
 * A self-signed certificate (version 1, no extensions) for an Ed25519 key, as PEM: what TLS needs for carrying a key that
 * is pinned. It does not expire (RFC 5280 section 4.1.2.5), as a date would add nothing to the pin.
 */
export function selfSign(commonName: string, privateKey: KeyObject): string {
  const algorithm = der(SEQUENCE, ED25519);
  const name = derName(commonName);
  const toBeSigned = der(
    SEQUENCE,
    derSerial(),
    algorithm,
    name,
    der(SEQUENCE, der(UTC_TIME, Buffer.from('200101000000Z')), der(GENERALIZED_TIME, Buffer.from('99991231235959Z'))),
    name,
    createPublicKey(privateKey).export({ type: 'spki', format: 'der' }),
  );
  return pemCertificate(toBeSigned, algorithm, sign(null, toBeSigned, privateKey));
}
