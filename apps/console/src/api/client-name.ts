/** What a browser says about itself; `brands` and `platform` come from `navigator.userAgentData`, where there is one. */
export interface BrowserHints {
  readonly userAgent: string;
  readonly brands?: readonly { readonly brand: string }[] | undefined;
  readonly platform?: string | undefined;
}

// The first that fits counts: browsers name those that they descend from as well.
const browsers = [
  [/\bEdg(?:e|A|iOS)?\//, 'Edge'],
  [/\bOPR\//, 'Opera'],
  [/\b(?:Firefox|FxiOS)\//, 'Firefox'],
  [/\b(?:Chrome|CriOS)\//, 'Chrome'],
  [/\bSafari\//, 'Safari'],
] as const;
const systems = [
  [/\bAndroid\b/, 'Android'],
  [/\biPhone\b/, 'iPhone'],
  [/\biPad\b/, 'iPad'],
  [/\bMac OS X\b/, 'macOS'],
  [/\bWindows\b/, 'Windows'],
  [/\bCrOS\b/, 'ChromeOS'],
  [/\bLinux\b/, 'Linux'],
] as const;

/** `Firefox on Linux`: by which people know a session again. */
export function clientName({ userAgent, brands = [], platform = '' }: BrowserHints): string {
  // Browsers list an invented one, so that nobody relies on the list: "Not;A=Brand".
  const own = brands.map(({ brand }) => brand).filter((brand) => !/not.*brand/i.test(brand));
  const brand = (own.find((name) => name !== 'Chromium') ?? own[0])?.replace(/^(?:Google|Microsoft) /, '');
  const browser = brand ?? browsers.find(([pattern]) => pattern.test(userAgent))?.[1] ?? 'Browser';
  const system = platform === '' ? systems.find(([pattern]) => pattern.test(userAgent))?.[1] : platform;
  return (system === undefined ? browser : `${browser} on ${system}`).slice(0, 100);
}
