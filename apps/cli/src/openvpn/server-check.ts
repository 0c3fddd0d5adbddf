import type { X509Certificate } from 'node:crypto';
import type { OpenVpnProfile } from '@sallyport/openvpn';

/** Extended key usage serverAuth (RFC 5280 section 4.2.1.12). */
const SERVER_AUTH = '1.3.6.1.5.5.7.3.1';

/** What a profile asks of the server's certificate beside its authority; in words what is wrong with it. */
export function serverCheck(profile: OpenVpnProfile): (certificate: X509Certificate) => string | undefined {
  const { peerFingerprints, serverPurpose, verifyName } = profile;
  return (certificate) => {
    const fingerprint = certificate.fingerprint256.replaceAll(':', '').toLowerCase();
    if (peerFingerprints.length > 0 && !peerFingerprints.includes(fingerprint)) {
      return "the server's certificate is none of those that the profile names (peer-fingerprint)";
    }
    // Node's types know this as the list of extended purposes; without the extension there is none.
    const purposes = certificate.keyUsage as readonly string[] | undefined;
    if (serverPurpose && purposes?.includes(SERVER_AUTH) !== true) {
      return "the server's certificate is not one for servers (remote-cert-tls server)";
    }
    if (verifyName === undefined) return undefined;
    const { kind, name } = verifyName;
    const commonName = lastCommonName(certificate.subject);
    const fits =
      kind === 'subject'
        ? subjectText(certificate.subject) === name
        : kind === 'name'
          ? commonName === name
          : commonName?.startsWith(name) === true;
    return fits ? undefined : `the server's certificate has another name than the profile asks for (verify-x509-name)`;
  };
}

/** Node has a line for each part of a name, and `\` before what is special; OpenVPN writes them one behind the other. */
function subjectText(subject: string): string {
  return partsOf(subject)
    .map(([key, value]) => `${key}=${value}`)
    .join(', ');
}

function lastCommonName(subject: string): string | undefined {
  return partsOf(subject).findLast(([key]) => key === 'CN')?.[1];
}

function partsOf(subject: string): [string, string][] {
  return subject.split('\n').flatMap((line): [string, string][] => {
    const equals = line.indexOf('=');
    if (equals < 0) return [];
    return [[line.slice(0, equals), line.slice(equals + 1).replace(/\\([\\,+"<>;#= ])/g, '$1')]];
  });
}
