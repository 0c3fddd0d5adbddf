// Makes packages/io/src/checksum-wasm.ts from checksum.wat: node scripts/build-checksum.ts
import { readFileSync, writeFileSync } from 'node:fs';
import wabt from 'wabt';

const source = new URL('../packages/io/src/checksum.wat', import.meta.url);
const target = new URL('../packages/io/src/checksum-wasm.ts', import.meta.url);

/** The bytes that wabt makes of checksum.wat, in base64. */
export async function assembleChecksum(): Promise<string> {
  const tools = await wabt();
  const module = tools.parseWat('checksum.wat', readFileSync(source, 'utf8'), { simd: true, threads: true });
  try {
    module.resolveNames();
    return Buffer.from(module.toBinary({}).buffer).toString('base64');
  } finally {
    module.destroy();
  }
}

if (import.meta.main) {
  const lines = (await assembleChecksum()).match(/.{1,112}/g) ?? [];
  const header = [
    '// Generated from checksum.wat by `node scripts/build-checksum.ts`; a test compares the two. Do not edit.',
    '',
    '/** The WebAssembly module of checksum.wat, in base64. */',
    'export const CHECKSUM_WASM =',
  ];
  writeFileSync(
    target,
    `${[...header, ...lines.map((line) => `  '${line}'`)].join('\n').replaceAll("'\n  '", "' +\n  '")};\n`,
  );
}
