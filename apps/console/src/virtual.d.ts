declare module 'virtual:routes' {
  /** Method, path below /api/v1, and the media type where it isn't JSON; by the contract's id. */
  export const table: Readonly<Record<string, readonly [method: string, path: string, mediaType: string | null]>>;
}

declare module 'virtual:world' {
  /** As build/world-map.ts makes it. */
  export const world: {
    readonly path: string;
    readonly width: number;
    readonly height: number;
    readonly scale: number;
    readonly x: number;
    readonly y: number;
  };
}
