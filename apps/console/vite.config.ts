import { defineConfig, type Plugin } from 'vite';
import { allRoutes } from '@sallyport/api';
import { worldMap } from './build/world-map.ts';

/**
 * What the browser needs of the API's contracts: method, path and kind of answer. Their schemas stay on the server, which
 * checks everything anyway; the types are there at build time.
 */
function routeTable(): Plugin {
  const name = 'virtual:routes';
  return {
    name: 'route-table',
    resolveId: (id) => (id === name ? `\0${name}` : undefined),
    load: (id) => {
      if (id !== `\0${name}`) return undefined;
      const table = Object.fromEntries(
        allRoutes.map(({ id: route, method, path, mediaType }) => [route, [method, path, mediaType ?? null]]),
      );
      return `export const table = ${JSON.stringify(table)};`;
    },
  };
}

/** The map behind the gateways, so that no library for maps has to come to the browser. */
function world(): Plugin {
  const name = 'virtual:world';
  return {
    name: 'world-map',
    resolveId: (id) => (id === name ? `\0${name}` : undefined),
    load: (id) => (id === `\0${name}` ? `export const world = ${JSON.stringify(worldMap())};` : undefined),
  };
}

export default defineConfig({
  root: import.meta.dirname,
  plugins: [routeTable(), world()],
  oxc: { jsx: { runtime: 'automatic', importSource: 'preact' } },
  resolve: { dedupe: ['preact'] },
  build: {
    target: 'es2023',
    outDir: 'dist',
    emptyOutDir: true,
    // The policy for content allows no data: but images, and inlined fonts or scripts would need it.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    sourcemap: false,
    reportCompressedSize: false,
  },
});
