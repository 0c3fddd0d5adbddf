import { clientName, type BrowserHints } from './client-name.ts';

/** The name of this browser. */
export function thisClient(): string {
  const { userAgent, userAgentData } = navigator as Navigator & { userAgentData?: Omit<BrowserHints, 'userAgent'> };
  return clientName({ userAgent, brands: userAgentData?.brands, platform: userAgentData?.platform });
}
