/** The land of the world as the path of an SVG, made once when the console is built. */
import { createRequire } from 'node:module';
import { geoNaturalEarth1, geoPath } from 'd3-geo';
import type { MultiPolygon, Polygon } from 'geojson';
import { feature } from 'topojson-client';
import type { GeometryCollection, Topology } from 'topojson-specification';

export interface WorldMap {
  /** Of the land, in the units of the map. */
  readonly path: string;
  readonly width: number;
  readonly height: number;
  /** How a place is found on it: the projection's result times `scale`, from (`x`, `y`) on. */
  readonly scale: number;
  readonly x: number;
  readonly y: number;
}

/** Whole numbers are fine enough at this width, and short. */
const width = 2000;
/** What lies beyond holds no gateway and takes room: degrees of latitude. */
const north = 84;
const south = -57;

/** By the Natural Earth projection (Šavrič and others, 2011), without Antarctica. */
export function worldMap(): WorldMap {
  const topology = createRequire(import.meta.url)('world-atlas/land-110m.json') as Topology<{
    land: GeometryCollection;
  }>;
  const polygons = feature(topology, topology.objects.land)
    .features.map(({ geometry }) => geometry as Polygon | MultiPolygon)
    .flatMap((geometry) => (geometry.type === 'Polygon' ? [geometry.coordinates] : geometry.coordinates))
    .filter(([outline = []]) => Math.max(...outline.map(([, latitude = 0]) => latitude)) > south);
  const projection = geoNaturalEarth1().fitWidth(width, { type: 'Sphere' });
  const top = projection([0, north])![1];
  const height = Math.round(projection([0, south])![1] - top);
  const [x, y] = projection.translate();
  projection.translate([x, y - top]);
  const path = new ShortPath();
  geoPath(projection, path)({ type: 'MultiPolygon', coordinates: polygons });
  return { path: path.text, width, height, scale: projection.scale(), x, y: y - top };
}

/** Writes steps between whole points; what rounds to no step is left out. */
class ShortPath {
  text = '';
  #at: readonly [number, number] = [0, 0];
  #start: readonly [number, number] = [0, 0];

  #step(command: string, x: number, y: number): void {
    const [dx, dy] = [Math.round(x) - this.#at[0], Math.round(y) - this.#at[1]];
    if (command === 'l' && dx === 0 && dy === 0) return;
    this.text += `${command}${dx}${dy < 0 ? '' : ' '}${dy}`;
    this.#at = [Math.round(x), Math.round(y)];
  }

  beginPath(): void {
    this.text = '';
  }

  moveTo(x: number, y: number): void {
    this.#step('m', x, y);
    this.#start = this.#at;
  }

  lineTo(x: number, y: number): void {
    this.#step('l', x, y);
  }

  closePath(): void {
    this.text += 'z';
    // Where the pen is after that.
    this.#at = this.#start;
  }

  arc(): void {
    throw new Error('land has no arcs');
  }
}
