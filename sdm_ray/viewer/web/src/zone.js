/** The figures of a polygon, from the cells whose centres lie in it. */
import GeoJSON from 'ol/format/GeoJSON.js';
import WKT from 'ol/format/WKT.js';
import {element, table} from './controls.js';
import {SPECIES, classesOf, format, groupsOf, hasSpecies, layerOf, leadOf, plain, unitOf} from './layers.js';
import {readCounts, readWindow} from './zarr.js';

const MOST_CELLS = 1 << 18; // of the window of one layer that is read
const MOST_VALUES = 1 << 24; // of all species
const LIMIT_CELLS = 1 << 22; // of a layer's coarsest level
const FIRST = 15;
const FORMATS = [new GeoJSON(), new WKT()];

/** Polygons of a file in degrees, in the projection; an Error says what else it holds. */
export function readPolygons(text, projection) {
  for (const format of FORMATS) {
    try {
      const options = {dataProjection: declared(text) ?? 'EPSG:4326', featureProjection: projection};
      const found = format.readFeatures(text, options).map((feature) => feature.getGeometry());
      const polygons = found.filter((each) => /Polygon$/.test(each?.getType() ?? ''));
      if (polygons.length) return polygons[0];
    } catch {
      // the next format
    }
  }
  throw new Error('The file holds no polygon: expected GeoJSON or WKT in longitude and latitude, or in EPSG:3035.');
}

/** GeoJSON of EPSG:3035 says so, as GDAL writes it. */
function declared(text) {
  return /EPSG:+(:?\d*:)?3035/.test(text.slice(0, 2000)) ? 'EPSG:3035' : null;
}

/** Rings of a polygon or multipolygon. */
export function ringsOf(geometry) {
  return geometry.getType() === 'Polygon' ? geometry.getCoordinates() : geometry.getCoordinates().flat();
}

/** The window of a grid around rings, and which of its cells have their centre inside (even-odd rule). */
export function cellsInside(grid, rings) {
  const {x0, y1, resolution} = grid;
  const xs = rings.flat().map(([x]) => x);
  const ys = rings.flat().map(([, y]) => y);
  const row = Math.max(0, Math.floor((y1 - Math.max(...ys)) / resolution));
  const col = Math.max(0, Math.floor((Math.min(...xs) - x0) / resolution));
  const height = Math.min(grid.height, Math.ceil((y1 - Math.min(...ys)) / resolution)) - row;
  const width = Math.min(grid.width, Math.ceil((Math.max(...xs) - x0) / resolution)) - col;
  const window = {row, col, height: Math.max(0, height), width: Math.max(0, width)};
  const inside = new Uint8Array(window.height * window.width);
  for (let r = 0; r < window.height; r++) {
    const y = y1 - (row + r + 0.5) * resolution;
    const crossings = rings.flatMap((ring) => crossingsOf(ring, y)).sort((a, b) => a - b);
    for (let k = 0; k + 1 < crossings.length; k += 2) {
      const from = Math.max(0, Math.ceil((crossings[k] - x0) / resolution - 0.5) - col);
      const to = Math.min(window.width, Math.ceil((crossings[k + 1] - x0) / resolution - 0.5) - col);
      if (to > from) inside.fill(1, r * window.width + from, r * window.width + to);
    }
  }
  return {window, inside};
}

function crossingsOf(ring, y) {
  const found = [];
  for (let i = 0, j = ring.length - 1; i < ring.length; j = i++) {
    const [[x1, y1], [x2, y2]] = [ring[j], ring[i]];
    if (y1 > y !== y2 > y) found.push(x1 + ((y - y1) / (y2 - y1)) * (x2 - x1));
  }
  return found;
}

/** The finest stored level at which a zone has few enough cells, and its cells there; null where none is coarse enough. */
function levelFor(layer, rings, most) {
  const stored = layer.store.grids.map((_, level) => level).filter((level) => layer.paths[level]);
  for (const level of stored) {
    const found = cellsInside(layer.store.grids[level], rings);
    const size = found.window.height * found.window.width;
    if (size <= most || (level === stored.at(-1) && size <= LIMIT_CELLS)) return {level, ...found};
  }
  return null;
}

/**
 * Figures of a zone.
 *
 * @param {Array<{map: object, layer: string, at: object}>} sides the first is described.
 * @param {Array<Array<number[]>>} rings in the projection.
 * @return {Promise<HTMLElement>} tables of the layer shown, of all species and of other layers.
 */
export async function describeZone([side], rings) {
  const {layer} = layerOf(side.map, side.layer);
  const place = levelFor(layer, rings, MOST_CELLS);
  if (!place) return element('p', {}, 'The zone is too large for this layer, which has no coarser levels.');
  const chosen = await statistics(layer, leadOf(layer, side.at), place);
  if (!chosen) return element('p', {}, 'The zone has no cells with data.');
  const [grid] = layer.store.grids;
  const rows = [
    ['Cells', chosen.cells.toLocaleString('en')],
    ['Area (km²)', ((chosen.cells * grid.resolution ** 2) / 1e6).toLocaleString('en', {maximumFractionDigits: 2})],
  ];
  if (classesOf(layer).length) {
    for (const [text, share] of chosen.shares) rows.push([`${plain(text)} (% of cells)`, (share * 100).toFixed(1)]);
  } else {
    for (const name of ['mean', 'lowest', 'highest']) rows.push([plain(name), [format(layer, chosen[name]), chosen[name]]]);
  }
  const shown = layer.lead.map(({name, labels}) => side.at[name] ?? labels[0]).join(', ');
  const title = [plain(layer.name), shown].filter(Boolean).join(': ');
  const parts = [element('h3', {}, 'Zone'), table(`${title} (${levelText(layer.store, chosen.level)})`, ['', 'Value'], rows)];
  parts.push(...(await speciesOf(side, rings)), ...(await othersOf(side, rings)));
  return element('div', {}, ...parts);
}

function levelText(store, level) {
  const size = store.grids[level].resolution;
  return `from cells of ${size % 1000 ? `${size} m` : `${size / 1000} km`}`;
}

async function speciesOf(side, rings) {
  const {layer} = layerOf(side.map, hasSpecies(layerOf(side.map, side.layer).layer) ? side.layer : '');
  if (!hasSpecies(layer)) return [];
  const axis = layer.lead.findIndex(({name}) => name === SPECIES);
  const {labels} = layer.lead[axis];
  const place = levelFor(layer, rings, Math.min(MOST_CELLS, MOST_VALUES / labels.length));
  if (!place) return [];
  const rows = [];
  for (const [number, name] of labels.entries()) {
    const lead = leadOf(layer, side.at).map((position, i) => (i === axis ? number : position));
    const found = await statistics(layer, lead, place);
    if (found) rows.push({name, mean: found.mean, area: found.mean * found.cells * layer.store.grids[0].resolution ** 2 / 1e6});
  }
  rows.sort((a, b) => b.mean - a.mean);
  const cells = rows.map(({name, mean, area}) => [name, [format(layer, mean), mean], [area.toPrecision(4), area]]);
  const title = `${rows.length} species by mean ${unitOf(layer)} (${levelText(layer.store, place.level)})`;
  const header = ['Species', 'Mean', 'Sum × area (km²)'];
  const holder = element('div', {}, table(title, header, cells.slice(0, FIRST), true));
  if (cells.length > FIRST) {
    holder.append(element('button', {type: 'button', onclick: () => holder.replaceChildren(table(title, header, cells, true))},
      `All ${cells.length} species`));
  }
  return [holder];
}

async function othersOf(side, rings) {
  const rows = [];
  for (const [, entries] of groupsOf(side.map)) {
    for (const {layer} of entries) {
      if (layer.lead.length || classesOf(layer).length) continue;
      const place = levelFor(layer, rings, MOST_CELLS);
      const found = place && (await statistics(layer, [], place));
      if (found) rows.push([plain(layer.name), [format(layer, found.mean), found.mean]]);
    }
  }
  return rows.length ? [table('Means of other layers', ['', 'Mean'], rows)] : [];
}

/** Mean, lowest and highest value, shares of classes, and the number of cells of level 0; null without data. */
async function statistics(layer, lead, {level, window, inside}) {
  if (!window.height || !window.width) return null;
  const [values, counts] = await Promise.all([
    readWindow(layer, level, lead, window),
    readCounts(layer.store, level, window),
  ]);
  let [cells, sum, lowest, highest] = [0, 0, Infinity, -Infinity];
  const shares = new Map();
  for (let i = 0; i < values.length; i++) {
    const value = values[i];
    if (!inside[i] || Number.isNaN(value)) continue;
    const weight = counts ? counts[i] : 4 ** level;
    cells += weight;
    sum += weight * value;
    if (value < lowest) lowest = value;
    if (value > highest) highest = value;
    if (classesOf(layer).length) shares.set(format(layer, value), (shares.get(format(layer, value)) ?? 0) + weight);
  }
  if (!cells) return null;
  const sorted = [...shares].sort((a, b) => b[1] - a[1]).map(([text, weight]) => [text, weight / cells]);
  return {level, cells, mean: sum / cells, lowest, highest, shares: sorted};
}
