/** The arrows and the purity of docs/architecture.md, as checks on the imports of one file at a time. */
import { isBuiltin } from 'node:module';
import { posix } from 'node:path';
import ts from 'typescript';

interface PackageRules {
  /** The workspaces that it may import. */
  readonly arrows: readonly string[];
  /** The workspaces of which it may import types, and nothing that runs. */
  readonly typeArrows?: readonly string[];
  /** The npm packages that it may import. */
  readonly npm?: readonly string[];
  /** Pure: no node:*, no npm package; what it needs is handed in. */
  readonly pure?: true;
}

export const packageRules: Readonly<Partial<Record<string, PackageRules>>> = {
  'packages/core': { arrows: [], pure: true },
  'packages/wire': { arrows: ['core'], pure: true },
  'packages/wireguard': { arrows: ['core', 'wire'], pure: true },
  'packages/openvpn': { arrows: ['core', 'wire'], pure: true },
  'packages/gateway': { arrows: ['core', 'wire'], pure: true },
  // io supplies the cryptography for which a protocol states the interface.
  'packages/io': { arrows: ['core'], typeArrows: ['wireguard', 'openvpn'], npm: ['koffi'] },
  // A protocol reaches the runtime as a value, from an app.
  'packages/runtime': { arrows: ['core', 'wire', 'gateway', 'io'], typeArrows: ['wireguard'] },
  // A protocol and the runtime, put together once for all apps.
  'packages/wireguard-plane': { arrows: ['io', 'runtime', 'wireguard'] },
  'packages/openvpn-plane': { arrows: ['core', 'io', 'runtime', 'openvpn'] },
  'packages/testkit': { arrows: ['core', 'wire'] },
  'packages/netlab': { arrows: [] },
  // Access and firewall as data and decisions, for control plane and gateway alike.
  'packages/policy': { arrows: [], pure: true },
  'packages/link': { arrows: ['core', 'policy'], npm: ['zod'] },
  'packages/api': { arrows: ['policy'], npm: ['zod'] },
  'packages/control': {
    arrows: ['core', 'api', 'policy', 'link'],
    npm: [
      'hono',
      '@hono/node-server',
      'zod',
      'kysely',
      'pg',
      'pino',
      'prom-client',
      'acme-client',
      '@simplewebauthn/server',
      'otpauth',
      'openid-client',
      '@peculiar/x509',
      'reflect-metadata',
    ],
  },
  // What client and gateway say inside the tunnel; the cryptography is handed in.
  'packages/tunnel-service': { arrows: ['core'], pure: true },
  // Datagrams over WebSocket and TLS, at both ends.
  'packages/carrier': { arrows: ['core', 'io'], npm: ['ws'] },
  // The gateway's name server.
  'packages/resolver': { arrows: ['core'], npm: ['dns-packet'] },
  // The client's decisions: state machine, packet filter, routes, choices.
  'packages/client': { arrows: ['core', 'api'], npm: ['zod'], pure: true },
  'packages/privileged': { arrows: ['policy', 'io'] },
  'packages/agent': {
    arrows: ['core', 'policy', 'link', 'privileged', 'tunnel-service'],
    npm: ['pino', 'prom-client'],
  },
  // The browser gets types of the API, and its route table at build time.
  'apps/console': {
    arrows: ['api'],
    npm: [
      'preact',
      '@preact/signals',
      'preact-iso',
      '@tanstack/query-core',
      'uplot',
      'lean-qr',
      '@simplewebauthn/browser',
      'zod',
      'vite',
      'd3-geo',
      'topojson-client',
      'world-atlas',
      'geojson',
      'topojson-specification',
    ],
  },
  'apps/server': {
    arrows: [
      'core',
      'api',
      'policy',
      'link',
      'control',
      'agent',
      'privileged',
      'io',
      'runtime',
      'wireguard',
      'wireguard-plane',
      'openvpn',
      'openvpn-plane',
      'carrier',
      'resolver',
    ],
    npm: ['smol-toml', 'zod', 'pino'],
  },
  'apps/clientd': {
    arrows: ['core', 'api', 'io', 'client', 'carrier', 'tunnel-service', 'runtime', 'wireguard', 'wireguard-plane'],
    npm: ['zod', 'pino'],
  },
  'apps/cli': {
    arrows: [
      'core',
      'wire',
      'wireguard',
      'wireguard-plane',
      'openvpn',
      'openvpn-plane',
      'gateway',
      'io',
      'runtime',
      'api',
      'server',
      'client',
      'clientd',
      'carrier',
    ],
    npm: ['zod'],
  },
};

/** The parts of the repository from which a workspace made for testing may be imported. */
const reservedFor: Readonly<Partial<Record<string, readonly string[]>>> = {
  testkit: ['tests'],
  netlab: ['tests', 'bench', 'demo'],
};

/** A workspace's second entry: what a worker of the data plane loads of it. Each worker has a copy in memory. */
const WORKER_ENTRY = '/packets';

/** Where the environment may be read: netlab and run.ts hand it on to programs, testkit takes a seed from it. */
const environmentReaders = [
  'apps/',
  'bench/',
  'demo/',
  'scripts/',
  'tests/',
  'packages/netlab/',
  'packages/testkit/',
  'packages/io/src/linux/run.ts',
];

export interface Import {
  /** What is imported, or undefined where the program computes it. */
  readonly specifier: string | undefined;
  readonly line: number;
  readonly typeOnly: boolean;
}

/** Everything by which `source` reaches for another module. */
export function importsOf(source: ts.SourceFile): Import[] {
  const found: Import[] = [];
  const add = (node: ts.Node, specifier: ts.Node | undefined, typeOnly = false): void => {
    const text = specifier !== undefined && ts.isStringLiteralLike(specifier) ? specifier.text : undefined;
    found.push({ specifier: text, line: lineOf(source, node), typeOnly });
  };
  const visit = (node: ts.Node): void => {
    if (ts.isImportDeclaration(node)) {
      add(node, node.moduleSpecifier, node.importClause?.phaseModifier === ts.SyntaxKind.TypeKeyword);
    } else if (ts.isExportDeclaration(node) && node.moduleSpecifier !== undefined) {
      add(node, node.moduleSpecifier, node.isTypeOnly);
    } else if (ts.isImportEqualsDeclaration(node) && ts.isExternalModuleReference(node.moduleReference)) {
      add(node, node.moduleReference.expression, node.isTypeOnly);
    } else if (ts.isImportTypeNode(node)) {
      add(node, ts.isLiteralTypeNode(node.argument) ? node.argument.literal : undefined, true);
    } else if (ts.isCallExpression(node) && loadsModule(node.expression)) {
      add(node, node.arguments[0]);
    } else if (ts.isNewExpression(node) && isModuleUrl(node)) {
      add(node, node.arguments?.[0]);
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
  for (const reference of source.typeReferenceDirectives) {
    found.push({ specifier: reference.fileName, line: lineAt(source, reference.pos), typeOnly: true });
  }
  for (const reference of source.referencedFiles) {
    const specifier = reference.fileName.startsWith('.') ? reference.fileName : `./${reference.fileName}`;
    found.push({ specifier, line: lineAt(source, reference.pos), typeOnly: true });
  }
  return found;
}

/** `import(…)`, `require(…)`, `require.resolve(…)`, `import.meta.resolve(…)`, `process.getBuiltinModule(…)`. */
function loadsModule(callee: ts.Expression): boolean {
  if (callee.kind === ts.SyntaxKind.ImportKeyword) return true;
  if (ts.isIdentifier(callee)) return callee.text === 'require';
  if (!ts.isPropertyAccessExpression(callee)) return false;
  const { name, expression } = callee;
  if (name.text === 'getBuiltinModule') return true;
  return name.text === 'resolve' && (ts.isMetaProperty(expression) || expression.getText() === 'require');
}

/** `new URL('./worker.ts', import.meta.url)`, the form in which a worker's file is named. */
function isModuleUrl(node: ts.NewExpression): boolean {
  if (!ts.isIdentifier(node.expression) || node.expression.text !== 'URL') return false;
  const file = node.arguments?.[0];
  const base = node.arguments?.[1];
  if (file === undefined || base?.getText() !== 'import.meta.url') return false;
  return !ts.isStringLiteralLike(file) || /\.[cm]?[jt]s$/.test(file.text);
}

/** The lines of `source` that read the process's environment. */
function environmentReads(source: ts.SourceFile): number[] {
  const lines: number[] = [];
  const visit = (node: ts.Node): void => {
    const byName = ts.isPropertyAccessExpression(node) && node.name.text === 'env' && isProcess(node.expression);
    const byIndex =
      ts.isElementAccessExpression(node) &&
      ts.isStringLiteralLike(node.argumentExpression) &&
      node.argumentExpression.text === 'env' &&
      isProcess(node.expression);
    const byPattern =
      ts.isVariableDeclaration(node) &&
      ts.isObjectBindingPattern(node.name) &&
      node.initializer !== undefined &&
      isProcess(node.initializer) &&
      node.name.elements.some((element) => (element.propertyName ?? element.name).getText() === 'env');
    const byImport =
      ts.isImportSpecifier(node) &&
      (node.propertyName ?? node.name).text === 'env' &&
      /^(node:)?process$/.test((node.parent.parent.parent.moduleSpecifier as ts.StringLiteral).text);
    if (byName || byIndex || byPattern || byImport) lines.push(lineOf(source, node));
    ts.forEachChild(node, visit);
  };
  visit(source);
  return lines;
}

/** `process` and `globalThis.process`. */
function isProcess(node: ts.Expression): boolean {
  return /^(globalThis\.)?process$/.test(node.getText());
}

function lineOf(source: ts.SourceFile, node: ts.Node): number {
  return lineAt(source, node.getStart(source));
}

function lineAt(source: ts.SourceFile, position: number): number {
  return source.getLineAndCharacterOfPosition(position).line + 1;
}

/**
 * The faults of one file, each as `path:line imports "what": the rule that it breaks`.
 * `path` is relative to the repository; `dependencies` are those that the workspace's package.json declares.
 */
export function faultsOf(path: string, text: string, dependencies: readonly string[]): string[] {
  const source = ts.createSourceFile(path, text, ts.ScriptTarget.ESNext, true);
  const [top = '', second = ''] = path.split('/');
  const isWorkspace = top === 'packages' || top === 'apps';
  const place = isWorkspace ? `${top}/${second}` : top;
  const rules = packageRules[place];
  if (isWorkspace && rules === undefined) {
    return [`${path}:1 ${place} has no rules yet: add it to packageRules in tests/architecture/import-rules.ts`];
  }

  const faults: string[] = [];
  for (const { specifier, line, typeOnly } of importsOf(source)) {
    const rule =
      specifier === undefined
        ? isWorkspace && 'a workspace names what it imports by a literal, or this test could not follow it'
        : brokenRule(path, place, rules, specifier, typeOnly, dependencies);
    if (rule)
      faults.push(`${path}:${line} imports ${specifier === undefined ? 'a computed name' : `"${specifier}"`}: ${rule}`);
  }
  if (!environmentReaders.some((reader) => path.startsWith(reader))) {
    for (const line of environmentReads(source)) {
      faults.push(`${path}:${line} reads process.env: configuration is parsed in an app and handed in`);
    }
  }
  return faults;
}

function brokenRule(
  path: string,
  place: string,
  rules: PackageRules | undefined,
  specifier: string,
  typeOnly: boolean,
  dependencies: readonly string[],
): string | false {
  if (/^(\.|\/|file:)/.test(specifier)) {
    if (rules === undefined) return false;
    const target = posix.join(posix.dirname(path), specifier);
    const leaves = !specifier.startsWith('.') || !target.startsWith(`${place}/`);
    return leaves && `relative imports stay inside ${place}; another workspace is imported by its name`;
  }
  const workspace = /^@sallyport\/([^/]+)(\/.*)?$/.exec(specifier);
  if (workspace !== null) {
    const [, name = '', inside] = workspace;
    return brokenArrow(place, rules, name, inside, typeOnly, dependencies);
  }
  if (rules === undefined) return false;
  // Made by the plug-ins of the workspace's own vite.config.ts.
  if (place === 'apps/console' && specifier.startsWith('virtual:')) return false;
  if (isBuiltin(specifier) || specifier === 'node') {
    if (rules.pure) return `${place} is pure: no node:*, no clock, no randomness; they are handed in`;
    return !specifier.startsWith('node:') && `a module of Node's own is written "node:${specifier}"`;
  }
  const npmName = specifier.split('/', specifier.startsWith('@') ? 2 : 1).join('/');
  if (!rules.npm?.includes(npmName)) {
    if (npmName === 'koffi') return 'packages/io is the only place with koffi';
    return `${place} may import these npm packages: ${list(rules.npm)}`;
  }
  // A package may have nothing but types, under the name that it would have.
  if (typeOnly && dependencies.includes(`@types/${npmName}`)) return false;
  return !dependencies.includes(npmName) && `${place}/package.json does not declare ${npmName}`;
}

function brokenArrow(
  place: string,
  rules: PackageRules | undefined,
  name: string,
  inside: string | undefined,
  typeOnly: boolean,
  dependencies: readonly string[],
): string | false {
  const reserved = reservedFor[name];
  if (reserved !== undefined && place !== `packages/${name}` && !reserved.includes(place)) {
    return `${name} is imported only from ${reserved.join(', ')}`;
  }
  if (inside !== undefined && inside !== WORKER_ENTRY)
    return `a workspace is imported by its entry, or by ${WORKER_ENTRY}`;
  if (rules === undefined) return false;
  if (rules.typeArrows?.includes(name))
    return !typeOnly && `${place} may import types of ${name}, and nothing that runs`;
  if (!rules.arrows.includes(name)) return `the arrows allow ${place} to import ${list(rules.arrows)}`;
  if (typeOnly || dependencies.includes(`@sallyport/${name}`)) return false;
  return `${place}/package.json does not declare @sallyport/${name}`;
}

function list(names: readonly string[] | undefined): string {
  return names === undefined || names.length === 0 ? 'nothing' : names.join(', ');
}
