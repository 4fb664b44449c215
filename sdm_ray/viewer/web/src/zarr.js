/** Reading a Zarr v3 store: its levels and layers, windows of them, and all species of one cell. */
import {FetchStore, open, registry, root, withRangeCoalescing} from 'zarrita';
import {ZSTDDecoder} from 'zstddec';
import {decodeBlosc} from './blosc.js';

const CACHE_BYTES = 64 * 2 ** 20; // of decoded chunks
const SMALLEST = 512; // cells along the longer side of the coarsest level
const HIDDEN = new Set(['cell_count']); // written for the pyramid alone
const COUNT = 'cell_count';

const decoder = new ZSTDDecoder();
const zstd = (bytes, size) => decoder.decode(bytes, size);
for (const [name, decode] of [['zstd', (bytes) => zstd(bytes)], ['blosc', (bytes) => decodeBlosc(bytes, zstd)]]) {
  registry.set(name, async () => {
    await decoder.init();
    return {fromConfig: () => ({decode})};
  });
}

/** Decoded chunks, the least recently used of which are forgotten. */
class ChunkCache {
  constructor(limit) {
    this.limit = limit;
    this.bytes = 0;
    this.chunks = new Map();
  }

  get(key, read) {
    const known = this.chunks.get(key);
    if (known) {
      this.chunks.delete(key);
      this.chunks.set(key, known);
      return known.data;
    }
    const entry = {bytes: 0, data: read()};
    this.chunks.set(key, entry);
    entry.data.then(
      (data) => this.add(key, entry, data.byteLength ?? 0),
      () => this.chunks.delete(key), // asked for again next time
    );
    return entry.data;
  }

  add(key, entry, bytes) {
    if (this.chunks.get(key) !== entry) return;
    entry.bytes = bytes;
    this.bytes += bytes;
    for (const [oldest, {bytes: freed}] of this.chunks) {
      if (this.bytes <= this.limit) break;
      if (oldest === key) continue;
      this.chunks.delete(oldest);
      this.bytes -= freed;
    }
  }
}

const cache = new ChunkCache(CACHE_BYTES);

/** What a store cannot be used for, as one sentence. */
export class StoreError extends Error {}

/**
 * Open a store.
 *
 * @param {{label: string, url: string}} entry as the configuration of the page names it.
 * @return {Promise<object>} `label`, `url`, `attrs`, `grids` (level 0 first) and `layers` by name.
 */
export async function openStore({label, url}) {
  const base = new URL(url, document.baseURI);
  const place = `${label} (${base.pathname})`;
  let response;
  try {
    response = await fetch(new URL('zarr.json', base.href.replace(/\/*$/, '/')));
  } catch {
    const allowed = base.origin === location.origin ? '' : ', or it does not let pages of other servers read it (CORS)';
    throw new StoreError(`${place} cannot be read: no answer from its server${allowed}.`);
  }
  if (!response.ok) throw new StoreError(`${place} cannot be read: there is no zarr.json (status ${response.status}).`);
  let meta;
  try {
    meta = await response.json();
  } catch {
    throw new StoreError(`${place} cannot be read: its zarr.json is not JSON.`);
  }
  const nodes = meta.consolidated_metadata?.metadata;
  if (!nodes) throw new StoreError(`${place} cannot be read: its zarr.json lists no arrays, so the store is unfinished.`);
  const store = {label, url, attrs: meta.attributes ?? {}, io: reader(base.href, nodes)};
  const levels = levelPaths(store.attrs, nodes);
  store.grids = levels.map((path) => gridOf(path ? nodes[path] : meta));
  if (!store.grids[0]) throw new StoreError(`${place} cannot be read: it has no grid (spatial:transform) of EPSG:3035.`);
  while (Math.max(store.grids.at(-1).width, store.grids.at(-1).height) > SMALLEST) store.grids.push(coarser(store.grids.at(-1)));
  store.layers = await layersOf(store, levels, nodes);
  if (!store.layers.size) throw new StoreError(`${place} cannot be read: it has no layer with rows and columns.`);
  return store;
}

/** Requests of one store; what its metadata says needs none. */
function reader(url, nodes) {
  const known = new Map();
  for (const [path, node] of Object.entries(nodes)) {
    known.set(`/${path}/zarr.json`, new TextEncoder().encode(JSON.stringify(node)));
  }
  const inner = withRangeCoalescing(new FetchStore(url, {useSuffixRequest: true}), {coalesceSize: 65536});
  return {
    arrays: new Map(),
    get: (key, options) => (known.has(key) ? known.get(key) : inner.get(key, options)),
    getRange: (key, range, options) => inner.getRange(key, range, options),
  };
}

function arrayOf(store, path) {
  const {arrays} = store.io;
  if (!arrays.has(path)) arrays.set(path, open.v3(root(store.io).resolve(path), {kind: 'array'}));
  return arrays.get(path);
}

/** Paths of the levels, the finest first. */
function levelPaths(attrs, nodes) {
  const listed = attrs.multiscales?.layout?.map(({asset}) => asset);
  if (listed?.length) return listed;
  return nodes['0']?.node_type === 'group' ? ['0'] : [''];
}

function gridOf(group) {
  const {'spatial:transform': transform, 'spatial:shape': shape} = group?.attributes ?? {};
  if (!transform || !shape) return null;
  const [resolution, , x0, , , y1] = transform;
  return {resolution, x0, y1, height: shape[0], width: shape[1]};
}

/** A level that is not stored: a view from afar takes cells of a finer one, or asks to zoom in. */
function coarser({resolution, x0, y1, width, height}) {
  return {resolution: resolution * 2, x0, y1, width: Math.ceil(width / 2), height: Math.ceil(height / 2)};
}

async function layersOf(store, levels, nodes) {
  const layers = new Map();
  const inside = levels[0] ? `${levels[0]}/` : '';
  for (const [path, node] of Object.entries(nodes)) {
    const name = path.slice(inside.length);
    const dims = node.dimension_names ?? [];
    if (!path.startsWith(inside) || name.includes('/') || HIDDEN.has(name) || node.node_type !== 'array') continue;
    if (dims.at(-1) !== 'x' || dims.at(-2) !== 'y') continue;
    const lead = [];
    for (const [axis, dim] of dims.slice(0, -2).entries()) {
      lead.push({name: dim, labels: await labelsOf(store, `${inside}${dim}`, nodes, node.shape[axis])});
    }
    const paths = levels.map((level) => (level ? `${level}/${name}` : name)).map((each) => (nodes[each] ? each : null));
    layers.set(name, {name, store, lead, paths, attrs: node.attributes ?? {}, ...encodingOf(node)});
  }
  return layers;
}

/** Labels along an axis: its coordinates, or numbers where it has none. */
async function labelsOf(store, path, nodes, size) {
  if (!nodes[path] || nodes[path].shape.length !== 1) return Array.from({length: size}, (_, i) => String(i));
  const array = await arrayOf(store, path);
  const chunks = Math.ceil(size / array.chunks[0]);
  const parts = await Promise.all(Array.from({length: chunks}, (_, i) => array.getChunk([i])));
  return parts.flatMap(({data}) => Array.from(data, String)).slice(0, size);
}

/** How stored numbers become values: divided by `divisor`, nothing where they are `fill` or NaN. */
function encodingOf({data_type, fill_value, attributes = {}}) {
  const isFloat = data_type.startsWith('float');
  const {scale_factor: scale, valid_max: top} = attributes;
  const divisor = scale ? (top && Math.abs(scale * top - 1) < 1e-9 ? top : 1 / scale) : 1;
  return {fill: isFloat ? NaN : fill_value, divisor, steps: isFloat ? null : divisor};
}

/** The value of a stored number, NaN where there is none. */
function decode(layer, stored) {
  return stored === layer.fill ? NaN : stored / layer.divisor;
}

function readChunk(layer, path, place) {
  const key = `${layer.store.url}|${path}|${place}`;
  return cache.get(key, async () => (await (await arrayOf(layer.store, path)).getChunk(place)).data);
}

/** The finest level at or above the wanted one at which a layer is stored, or -1. */
export function storedLevel(layer, level) {
  for (let each = level; each >= 0; each--) if (layer.paths[each]) return each;
  return -1;
}

/**
 * Values of a window at one level, row by row, NaN where there are none.
 *
 * @param {object} layer of `openStore`.
 * @param {number} level at which the layer is stored.
 * @param {number[]} lead position along each axis before rows and columns.
 * @param {{row: number, col: number, height: number, width: number}} window in steps of cells; may stick out of the grid.
 * @param {number} step cells from one value to the next: of each square of `step` cells the one in the middle is taken.
 * @return {Promise<Float32Array>} `height * width` values.
 */
export async function readWindow(layer, level, lead, window, step = 1) {
  const path = layer.paths[level];
  const array = await arrayOf(layer.store, path);
  const head = lead.map((position, axis) => Math.floor(position / array.chunks[axis]));
  const start = lead.reduce((sum, position, axis) => sum * array.chunks[axis] + (position % array.chunks[axis]), 0);
  const [chunkRows, chunkCols] = array.chunks.slice(-2);
  const [height, width] = array.shape.slice(-2);
  const out = new Float32Array(window.height * window.width).fill(NaN);
  const tasks = [];
  for (const [i, top, bottom] of spans(window.row, window.height, step, chunkRows, height)) {
    for (const [j, left, right] of spans(window.col, window.width, step, chunkCols, width)) {
      tasks.push(
        readChunk(layer, path, [...head, i, j]).then((data) => {
          for (let r = top; r < bottom; r++) {
            const line = (start * chunkRows + middle(r, step) - i * chunkRows) * chunkCols - j * chunkCols;
            const to = (r - window.row) * window.width - window.col;
            for (let c = left; c < right; c++) out[to + c] = decode(layer, data[line + middle(c, step)]);
          }
        }),
      );
    }
  }
  await Promise.all(tasks);
  return out;
}

/** The cell that stands for a square of `step` cells. */
function middle(position, step) {
  return position * step + (step >> 1);
}

/** Which positions from `first` on lie in which chunk along an axis: number of the chunk, first, and behind the last. */
function spans(first, count, step, chunk, size) {
  const found = [];
  const end = Math.min(first + count, Math.ceil((size - (step >> 1)) / step));
  let position = Math.max(first, 0);
  while (position < end) {
    const number = Math.floor(middle(position, step) / chunk);
    const next = Math.min(end, Math.ceil(((number + 1) * chunk - (step >> 1)) / step));
    found.push([number, position, next]);
    position = next;
  }
  return found;
}

/**
 * Values of one cell along one axis, each chunk decoded once.
 *
 * @param {object} layer of `openStore`.
 * @param {number[]} lead position along each axis before rows and columns; that of `axis` is not used.
 * @param {number} axis along which all values are read, -1 for one value.
 * @param {{row: number, col: number, level: number}} cell inside the grid of its level.
 * @return {Promise<number[]>} NaN where there is no value.
 */
export async function readCell(layer, lead, axis, {row, col, level}) {
  const path = layer.paths[level];
  const array = await arrayOf(layer.store, path);
  const {chunks, shape} = array;
  const place = [...lead, row, col];
  const step = axis < 0 ? 1 : chunks[axis];
  const count = axis < 0 ? 1 : shape[axis];
  const parts = [];
  for (let first = 0; first < count; first += step) {
    const at = place.map((position, i) => (i === axis ? first : position));
    const chunk = at.map((position, i) => Math.floor(position / chunks[i]));
    parts.push(
      readChunk(layer, path, chunk).then((data) =>
        Array.from({length: Math.min(step, count - first)}, (_, k) => {
          const offset = at.reduce((sum, p, i) => sum * chunks[i] + ((i === axis ? p + k : p) % chunks[i]), 0);
          return decode(layer, data[offset]);
        }),
      ),
    );
  }
  return (await Promise.all(parts)).flat();
}

/** How many cells of level 0 with data a cell of a level stands for, by window; null where the level does not say. */
export async function readCounts(store, level, window) {
  const some = store.layers.values().next().value;
  const path = some.paths[level]?.replace(/[^/]+$/, COUNT);
  if (!level || !path) return null;
  const layer = {store, paths: {[level]: path}, fill: NaN, divisor: 1};
  try {
    return await readWindow(layer, level, [], window);
  } catch {
    return null; // written by another tool
  }
}
