/** The legend: the colours of a layer with its units, and what its opacity means. */
import {element} from './controls.js';
import {QUALITY, classText, plain, unitOf} from './layers.js';
import {GRADIENT} from './paint.js';

const TICKS = 5;

/**
 * @param {HTMLElement} holder is filled.
 * @param {object[]} shown of one side or two.
 * @param {object} state of the page.
 * @param {(range: string) => void} onRange hears of another range.
 */
export function drawLegend(holder, shown, state, onRange) {
  const isShared = shown.length > 1 && shown[0].scale === shown[1].scale;
  const parts = (isShared ? shown.slice(0, 1) : shown).flatMap(({layer, scale}) => [
    element('p', {class: 'unit'}, unitOf(layer)),
    scale.classes ? classes(layer, scale.classes) : ramp(layer, scale),
  ]);
  if (shown.some(({layer}) => layer.steps > 1)) parts.push(rangeControl(state, onRange));
  const {quality} = shown[0];
  if (quality) parts.push(element('p', {class: 'note'}, `Opacity: ${QUALITY[quality.name].text}.`));
  holder.replaceChildren(...parts);
}

function classes(layer, colours) {
  return element('ul', {class: 'classes'}, ...[...colours].map(([value, hex]) => {
    const mark = element('span', {class: 'swatch', 'aria-hidden': 'true'});
    mark.style.background = `#${hex}`;
    return element('li', {}, mark, plain(classText(layer, value)));
  }));
}

function ramp(layer, {low, high, below, above}) {
  const bar = element('div', {class: 'ramp', role: 'img', 'aria-label': `Colour scale from ${short(low)} to ${short(high)}`});
  bar.style.background = GRADIENT;
  const ticks = Array.from({length: TICKS}, (_, i) => low + ((high - low) * i) / (TICKS - 1));
  const texts = ticks.map(short);
  if (below) texts[0] = `≤ ${texts[0]}`;
  if (above) texts[TICKS - 1] = `≥ ${texts[TICKS - 1]}`;
  return element('div', {}, bar, element('div', {class: 'ticks', 'aria-hidden': 'true'}, ...texts.map((text) => element('span', {}, text))));
}

/** Few digits, as many as a scale needs. */
function short(value) {
  const size = Math.abs(value);
  if (size >= 1000) return Math.round(value).toLocaleString('en');
  return String(Number(value.toPrecision(size >= 1 ? 3 : 2)));
}

function rangeControl({range}, onRange) {
  const box = element('input', {type: 'checkbox', id: 'range', checked: range === 'full', onchange: () => onRange(box.checked ? 'full' : 'auto')});
  return element('div', {class: 'check'}, box, element('label', {for: 'range'}, 'Colours from 0 to 1'));
}
