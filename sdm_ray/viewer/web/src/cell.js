/** The figures of one cell: its species by probability, its indicators and its quality, as the Zarr holds them. */
import {toLonLat} from 'ol/proj.js';
import {element, table} from './controls.js';
import {SPECIES, QUALITY, format, groupsOf, hasSpecies, layerOf, leadOf, plain, unitOf} from './layers.js';
import {readCell} from './zarr.js';

const FIRST = 15; // species shown before all are asked for

/** Row and column of a place on a store's grid of level 0; null outside. */
export function cellAt({x0, y1, resolution, height, width}, [x, y]) {
  const row = Math.floor((y1 - y) / resolution);
  const col = Math.floor((x - x0) / resolution);
  return row >= 0 && col >= 0 && row < height && col < width ? {row, col, level: 0} : null;
}

/** West, south, east, north of the cell that a place lies in. */
export function cellExtent({x0, y1, resolution}, {row, col}) {
  const [west, north] = [x0 + col * resolution, y1 - row * resolution];
  return [west, north - resolution, west + resolution, north];
}

/** The EEA's code of a cell, such as 1kmE4321N3210. */
function codeOf({resolution}, [west, south]) {
  const size = resolution % 1000 ? `${resolution}m` : `${resolution / 1000}km`;
  const unit = 10 ** /0*$/.exec(String(resolution))[0].length; // 1000 of 1 km, 10 of 250 m
  return `${size}E${Math.floor(west / unit)}N${Math.floor(south / unit)}`;
}

/**
 * Read a cell.
 *
 * @param {Array<{map: object, layer: string, at: object}>} sides the map that is shown, and the one beside it.
 * @param {number[]} place in the projection.
 * @return {Promise<HTMLElement|null>} null outside the map.
 */
export async function describeCell(sides, place) {
  const [first] = sides;
  const [grid] = first.map.stores[0].grids;
  const cell = cellAt(grid, place);
  if (!cell) return null;
  const columns = await Promise.all(sides.map((side) => speciesAt(side, place)));
  const extent = cellExtent(grid, cell);
  const [lon, lat] = toLonLat([(extent[0] + extent[2]) / 2, (extent[1] + extent[3]) / 2], 'EPSG:3035');
  const where = `Cell ${codeOf(grid, extent)}, centre ${lat.toFixed(4)}° N ${lon.toFixed(4)}° E`;
  const parts = [element('h3', {}, where), ...speciesPart(sides, columns)];
  const others = await Promise.all(sides.map((side) => layersAt(side, place)));
  for (const title of ['Indicators', 'Quality']) {
    const rows = others[0].filter(({group}) => group === title);
    if (!rows.length) continue;
    const beside = (key) => others.slice(1).map((each) => each.find((row) => row.key === key)?.cell ?? '');
    parts.push(table(title, headerOf('', sides), rows.map(({key, label, cell: found}) => [label, found, ...beside(key)])));
  }
  return element('div', {}, ...parts);
}

/** Names of species and their values at a place, of the layer shown or else of the map's first. */
async function speciesAt(side, place) {
  const chosen = layerOf(side.map, side.layer).layer;
  const layer = hasSpecies(chosen) ? chosen : layerOf(side.map, '').layer;
  const cell = cellAt(layer.store.grids[0], place);
  if (!hasSpecies(layer) || !cell) return null;
  const axis = layer.lead.findIndex(({name}) => name === SPECIES);
  const values = await readCell(layer, leadOf(layer, side.at), axis, cell);
  return {layer, names: layer.lead[axis].labels, values};
}

function speciesPart(sides, columns) {
  const [found, other] = columns;
  if (!found) return [];
  const known = found.names.map((name, i) => ({name, value: found.values[i]})).filter(({value}) => !Number.isNaN(value));
  if (!known.length) return [element('p', {}, 'No data in this cell.')];
  known.sort((a, b) => b.value - a.value);
  const beside = other && new Map(other.names.map((name, i) => [name, other.values[i]]));
  const rows = known.map(({name, value}) => {
    const cells = [name, [format(found.layer, value), value]];
    if (beside) cells.push(beside.has(name) ? [format(other.layer, beside.get(name)), beside.get(name)] : '');
    return cells;
  });
  const title = `${known.length} species by ${unitOf(found.layer)}`;
  const header = headerOf('Species', sides);
  const holder = element('div', {}, table(title, header, rows.slice(0, FIRST), true));
  if (rows.length > FIRST) {
    holder.append(element('button', {type: 'button', onclick: () => holder.replaceChildren(table(title, header, rows, true))},
      `All ${rows.length} species`));
  }
  return [holder];
}

function headerOf(first, sides) {
  if (sides.length === 1) return [first, 'Value'];
  return [first, ...sides.map((side) => [side.map.label, ...axesOf(side)].join(', '))];
}

/** What of a side is chosen along axes other than that of species. */
export function axesOf(side) {
  const {layer} = layerOf(side.map, side.layer);
  return layer.lead.filter(({name}) => name !== SPECIES).map(({name, labels}) => side.at[name] ?? labels[0]);
}

/** The layers without species at a place; of those with an axis, such as thresholds, each position is a row. */
async function layersAt(side, place) {
  const rows = [];
  for (const [group, entries] of groupsOf(side.map)) {
    for (const {key, layer} of entries) {
      const cell = cellAt(layer.store.grids[0], place);
      if (hasSpecies(layer) || !cell || layer.lead.length > 1) continue;
      rows.push(readCell(layer, layer.lead.map(() => 0), layer.lead.length - 1, cell).then((values) =>
        values.map((value, i) => {
          const [axis] = layer.lead;
          const label = plain(layer.name) + (axis ? ` (${axis.name} ${axis.labels[i]})` : unitSuffix(layer));
          return {key: `${key} ${i}`, group, label, cell: [format(layer, value), value]};
        })));
    }
  }
  return (await Promise.all(rows)).flat();
}

function unitSuffix({name, attrs}) {
  const {units} = attrs;
  return units && units !== '1' && (QUALITY[name] || units.length < 12) ? ` (${units})` : '';
}
