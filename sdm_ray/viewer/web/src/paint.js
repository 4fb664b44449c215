/** Colours of values and opacity of quality. */
import {QUALITY, classesOf, quantile} from './layers.js';

// Viridis at nine steps, readable on light and dark ground and by colour-blind readers.
const STOPS = ['440154', '472d7b', '3b528b', '2c728e', '21918c', '28ae80', '5ec962', 'addc30', 'fde725'];
const CLASSES = ['4477aa', 'ee6677', '228833', 'ccbb44', '66ccee', 'aa3377', 'bbbbbb']; // Tol's bright scheme
const PALEST = 0.15;
const STEPS = 256;

function rgb(hex) {
  return [0, 2, 4].map((at) => parseInt(hex.slice(at, at + 2), 16));
}

const RAMP = Array.from({length: STEPS}, (_, i) => {
  const at = (i / (STEPS - 1)) * (STOPS.length - 1);
  const low = Math.min(Math.floor(at), STOPS.length - 2);
  const [from, to] = [rgb(STOPS[low]), rgb(STOPS[low + 1])];
  return from.map((each, k) => Math.round(each + (to[k] - each) * (at - low)));
});

/** The colour scale as a CSS gradient. */
export const GRADIENT = `linear-gradient(to right, ${STOPS.map((each) => `#${each}`).join(', ')})`;

/** Colour of each class that occurs, in the order of their values. */
export function classColours(values) {
  const found = [...new Set(values)].sort((a, b) => a - b);
  return new Map(found.map((value, i) => [value, CLASSES[i % CLASSES.length]]));
}

/**
 * The colour scale of a layer.
 *
 * @param {object} layer of a store.
 * @param {Float32Array} sorted values from all over the map.
 * @param {string} range `auto`, or `full` for probabilities from 0 to 1.
 * @return {object} `classes`, or `low` and `high`; `below` and `above` tell whether values lie outside.
 */
export function scaleOf(layer, sorted, range) {
  if (classesOf(layer).length) return {classes: classColours(sorted)};
  const isShare = Boolean(layer.steps && layer.steps > 1);
  if (isShare && range === 'full') return {low: 0, high: 1};
  const low = isShare ? 0 : quantile(sorted, 0.01);
  const high = isShare ? quantile(sorted, 1) : quantile(sorted, 0.99);
  if (!(high > low)) return {low: Number.isNaN(low) ? 0 : low, high: Number.isNaN(low) ? 1 : low + 1};
  return {low, high, below: !isShare && sorted[0] < low, above: isShare || sorted.at(-1) > high};
}

/** The largest value that fades a cell fully, from values all over the map; null where nothing is chosen. */
export function defaultLimit(name, sorted) {
  const {rule} = QUALITY[name];
  if (rule === 'high') return quantile(sorted, 0.75) || 1;
  if (rule === 'low') return Math.max(1, -quantile(sorted, 0.25));
  return null;
}

/** The opacity of a quality value, from PALEST to 1. */
export function opacityOf(name, value, {limit, best}) {
  if (Number.isNaN(value)) return PALEST;
  const {rule} = QUALITY[name];
  const share =
    rule === 'flag' ? value
    : rule === 'bits' ? bits(value) / bits(best)
    : rule === 'high' ? 1 - value / limit
    : 1 + value / limit;
  return PALEST + (1 - PALEST) * Math.min(1, Math.max(0, share));
}

/** All inputs that any cell has. */
export function bestOf(sorted) {
  return sorted.reduce((found, value) => found | value, 0);
}

const BITS = Uint8Array.from({length: 256}, (_, value) => value.toString(2).replaceAll('0', '').length);

function bits(value) {
  return BITS[value & 255];
}

/**
 * Draw a tile.
 *
 * @param {Float32Array} values `side * side`, NaN is transparent.
 * @param {object} scale of `scaleOf`.
 * @param {Float32Array|null} quality as `values`.
 * @param {object|null} mask `{name, limit, best}` of the quality layer.
 * @return {HTMLCanvasElement} of `side` pixels.
 */
export function drawTile(values, scale, quality, mask) {
  const side = Math.sqrt(values.length);
  const canvas = document.createElement('canvas');
  canvas.width = canvas.height = side;
  const image = new ImageData(side, side);
  const classes = scale.classes && new Map([...scale.classes].map(([value, hex]) => [value, rgb(hex)]));
  const factor = (STEPS - 1) / (scale.high - scale.low);
  for (let i = 0, at = 0; i < values.length; i++, at += 4) {
    const value = values[i];
    if (Number.isNaN(value)) continue;
    const step = Math.max(0, Math.min(STEPS - 1, Math.round((value - scale.low) * factor)));
    const colour = classes ? (classes.get(value) ?? rgb(CLASSES.at(-1))) : RAMP[step];
    image.data.set(colour, at);
    image.data[at + 3] = quality ? 255 * opacityOf(mask.name, quality[i], mask) : 255;
  }
  canvas.getContext('2d').putImageData(image, 0, 0);
  return canvas;
}
