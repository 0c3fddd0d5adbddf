import { parseConfig } from '../../apps/cli/src/wg-quick/parse.ts';
import type { WgQuickConfig } from '../../apps/cli/src/wg-quick/config.ts';

/** Keys that are valid, for configuration files, and nobody's. */
export const privateKey = 'yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=';
export const publicKey = 'xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=';
export const otherPublicKey = 'TrMvSoP4jYQlY6RIzBgbssQqY3vxI2Pi+y71lOWWXX0=';
export const presharedKey = '/UwcSPg38hW/D9Y3tcS1FOV0K1wuURMbS0sesJEP5ak=';

/** The faults of a file, each as `LINE: MESSAGE`. */
export function faultsIn(text: string): string[] {
  const parsed = parseConfig(text);
  return parsed.ok ? [] : parsed.faults.map(({ line, message }) => `${line}: ${message}`);
}

/** Parses a file that has no faults. */
export function parsed(text: string): WgQuickConfig {
  const result = parseConfig(text);
  if (!result.ok) throw new Error(result.faults.map(({ line, message }) => `${line}: ${message}`).join('\n'));
  return result.config;
}
