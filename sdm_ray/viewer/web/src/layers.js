/** What of a map can be shown: species, indicators and quality layers, in words and with their units. */
import {readWindow, storedLevel} from './zarr.js';

export const SPECIES = 'species';
const SAMPLE_CELLS = 700_000; // read at most, for the range of a colour scale
const SAMPLE_WINDOWS = 4; // along each side, of a layer that has no coarser level
const SAMPLE_SIDE = 64;
const FINER = 2; // levels below the wanted one that are read where a layer has no coarser one

/** How a quality layer becomes opacity: `flag` 0 is worse, `bits` fewer are worse, `high` or `low` values are worse. */
export const QUALITY = {
  inputs: {rule: 'bits', text: 'fewer inputs are paler'},
  surveyed_country: {rule: 'flag', text: 'countries without a survey are paler'},
  inside_aoa: {rule: 'flag', text: 'cells outside the area of applicability are paler'},
  survey_distance: {rule: 'high', text: 'paler with distance to the nearest survey'},
  di: {rule: 'high', text: 'paler with dissimilarity to the surveys'},
  environmental_similarity: {rule: 'low', text: 'paler where the environment is novel (below 0)'},
  probability_spread: {rule: 'high', text: 'paler with the spread among models'},
  richness_spread: {rule: 'high', text: 'paler with the spread among models'},
};
const OTHER_QUALITY = new Set(['valid_scenes']);

/** Layers of a map and of the stores that belong to it, in groups for a list. */
export function groupsOf(map) {
  const groups = {Species: [], Indicators: [], Quality: []};
  for (const [number, store] of map.stores.entries()) {
    for (const layer of store.layers.values()) {
      const key = number ? `${store.label}:${layer.name}` : layer.name;
      const isQuality = !number && (QUALITY[layer.name] || OTHER_QUALITY.has(layer.name));
      const group = hasSpecies(layer) ? 'Species' : isQuality ? 'Quality' : 'Indicators';
      groups[group].push({key, layer, label: hasSpecies(layer) ? plain(layer.name) + ' of a species' : plain(layer.name)});
    }
  }
  return Object.entries(groups).filter(([, entries]) => entries.length);
}

/** The layer of a key, or the first one where the map has no such key. */
export function layerOf(map, key) {
  const entries = groupsOf(map).flatMap(([, each]) => each);
  return (entries.find((each) => each.key === key) ?? entries[0]);
}

/** Whether a layer has an axis of species. */
export function hasSpecies(layer) {
  return layer.lead.some(({name}) => name === SPECIES);
}

/** Position along each axis before rows and columns. */
export function leadOf(layer, at) {
  return layer.lead.map(({name, labels}) => Math.max(0, labels.indexOf(at[name])));
}

/** A name in words. */
export function plain(name) {
  const words = name.replaceAll('_', ' ');
  return words.charAt(0).toUpperCase() + words.slice(1);
}

/** What the values of a layer are, with its unit. */
export function unitOf(layer) {
  const {long_name: text, units} = layer.attrs;
  const unit = units && units !== '1' ? ` (${units})` : '';
  return `${text ?? plain(layer.name)}${unit}`;
}

/** Classes of a CF flag variable, `[{value, mask, text}]`; empty for other layers. */
export function classesOf({attrs}) {
  const texts = (attrs.flag_meanings ?? '').split(' ').map((each) => each.replaceAll('_', ' '));
  const listed = attrs.flag_values ?? attrs.flag_masks ?? [];
  return listed.map((value, i) => ({value, isMask: !attrs.flag_values, text: texts[i] ?? String(value)}));
}

/** A class value in words. */
export function classText(layer, value) {
  const found = classesOf(layer).filter((each) => (each.isMask ? value & each.value : value === each.value));
  return found.map(({text}) => text).join(', ') || 'none';
}

/** A value with the digits that its encoding holds, or with six significant ones. */
export function format(layer, value) {
  if (Number.isNaN(value)) return 'no data';
  if (classesOf(layer).length) return classText(layer, value);
  if (layer.steps && layer.steps > 1) return value.toFixed(Math.ceil(Math.log10(layer.steps)));
  return String(Number(value.toPrecision(6)));
}

/**
 * Values of a window of a level, of the nearest finer level where the layer has none there.
 *
 * @return {Promise<Float32Array|null>} null where that is too fine to be read for a whole view.
 */
export async function readAt(layer, level, lead, window) {
  const stored = storedLevel(layer, level);
  if (stored < 0 || level - stored > FINER) return null;
  return readWindow(layer, stored, lead, window, 2 ** (level - stored));
}

/** Values of a layer from all over the map, sorted, without those that are missing. */
export async function sampleOf(layer, lead) {
  const {grids} = layer.store;
  const coarsest = layer.paths.findLastIndex((path) => path);
  const grid = grids[coarsest];
  if (grid.height * grid.width <= SAMPLE_CELLS) {
    const all = await readWindow(layer, coarsest, lead, {row: 0, col: 0, height: grid.height, width: grid.width});
    return all.filter((value) => !Number.isNaN(value)).sort();
  }
  const windows = [];
  for (let i = 0; i < SAMPLE_WINDOWS; i++) {
    for (let j = 0; j < SAMPLE_WINDOWS; j++) {
      const row = Math.floor(((i + 0.5) / SAMPLE_WINDOWS) * grid.height);
      const col = Math.floor(((j + 0.5) / SAMPLE_WINDOWS) * grid.width);
      windows.push(readWindow(layer, coarsest, lead, {row, col, height: SAMPLE_SIDE, width: SAMPLE_SIDE}));
    }
  }
  const parts = await Promise.all(windows);
  return Float32Array.from(parts.flatMap((part) => Array.from(part).filter((value) => !Number.isNaN(value)))).sort();
}

/** A quantile of sorted values. */
export function quantile(sorted, share) {
  return sorted.length ? sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] : NaN;
}
