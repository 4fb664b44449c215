/** The controls of the panel: which layer each side shows, and how quality fades cells. */
import {choice, element, search} from './controls.js';
import {QUALITY, SPECIES, groupsOf, layerOf, plain} from './layers.js';

/**
 * The choices of one side or two.
 *
 * @param {HTMLElement} holder is filled.
 * @param {{sides: object[]}} state whose sides are `{map, layer, at}`.
 * @param {object[]} maps to choose from.
 * @param {(sides: object[], isLayout: boolean) => void} onChange hears of the sides, and whether controls must change.
 */
export function layerControls(holder, state, maps, onChange) {
  const isPair = state.sides.length > 1;
  const fields = state.sides.map((side, number) => {
    const change = (changed, isLayout) => {
      const made = fitted(changed(state.sides[number]));
      onChange(state.sides.map((each, i) => (i === number ? made : each)), isLayout);
    };
    const legend = isPair ? ['Left', 'Right'][number] : 'Map';
    return element('fieldset', {}, element('legend', {}, legend), ...sideControls(side, maps, change));
  });
  const toggle = () => onChange(isPair ? state.sides.slice(0, 1) : [...state.sides, other(state.sides[0], maps)], true);
  const text = isPair ? 'Stop comparing' : 'Compare with another';
  holder.replaceChildren(...fields, element('button', {type: 'button', id: 'compare', onclick: toggle}, text));
}

function sideControls(side, maps, change) {
  const parts = [];
  if (maps.length > 1) {
    const entries = maps.map((map) => ({key: map.label, label: map.label}));
    const take = (label) => change((now) => ({...now, map: maps.find((map) => map.label === label)}), true);
    parts.push(choice('Of', [['', entries]], side.map.label, take));
  }
  parts.push(choice('Show', groupsOf(side.map), side.layer, (layer) => change((now) => ({...now, layer}), true)));
  const {layer} = layerOf(side.map, side.layer);
  for (const {name, labels} of layer.lead) {
    const take = (label) => change((now) => ({...now, at: {...now.at, [name]: label}}), false);
    if (name === SPECIES) parts.push(search('Species', labels, side.at[name], take));
    else parts.push(choice(plain(name), [['', labels.map((label) => ({key: label, label}))]], side.at[name], take));
  }
  return parts;
}

/** A side whose layer and positions its map has; what was chosen before is kept where it is there. */
function fitted(side) {
  const {key, layer} = layerOf(side.map, side.layer);
  const at = {};
  for (const {name, labels} of layer.lead) at[name] = labels.includes(side.at[name]) ? side.at[name] : labels[0];
  return {map: side.map, layer: key, at: {...side.at, ...at}};
}

/** What to compare with at first: the other map, the other end of an axis such as time, or the next species. */
function other(side, maps) {
  const different = maps.find((map) => map !== side.map);
  if (different) return fitted({...side, map: different});
  const {layer} = layerOf(side.map, side.layer);
  const axes = layer.lead.filter(({labels}) => labels.length > 1);
  const axis = axes.find(({name}) => name !== SPECIES) ?? axes[0];
  if (!axis) return {...side, at: {...side.at}};
  const {name, labels} = axis;
  const next = name === SPECIES ? labels[(labels.indexOf(side.at[name]) + 1) % labels.length] : labels.at(-1);
  return {...side, at: {...side.at, [name]: next === side.at[name] ? labels[0] : next}};
}

/**
 * Which quality layer is shown as opacity, and from which value on cells are palest.
 *
 * @param {HTMLElement} holder is filled.
 * @param {object} state of the page.
 * @param {object|null} shown quality of the map.
 * @param {object[]} layers of quality.
 * @param {(changed: object) => void} onChange hears of the choice.
 */
export function qualityControls(holder, state, shown, layers, onChange) {
  const known = layers.filter(({name}) => QUALITY[name]);
  holder.closest('section').hidden = !known.length;
  const focused = holder.contains(document.activeElement) ? document.activeElement.tagName : null;
  const entries = [{key: '', label: 'Not shown'}, ...known.map(({name}) => ({key: name, label: plain(name)}))];
  const parts = [choice('Pale where quality is low', [['', entries]], state.quality, (quality) => onChange({quality, limit: undefined}))];
  if (shown?.limit != null) parts.push(limitControl(shown, onChange));
  holder.replaceChildren(...parts);
  if (focused) holder.querySelector(focused.toLowerCase())?.focus();
}

function limitControl({name, limit, layer}, onChange) {
  const isLow = QUALITY[name].rule === 'low';
  const {units} = layer.attrs;
  const field = element('input', {
    id: 'limit', type: 'number', min: '0', step: 'any', value: Number(limit.toPrecision(3)),
    onchange: () => Number(field.value) > 0 && onChange({limit: Number(field.value)}),
  });
  const text = `Palest from ${isLow ? 'minus ' : ''}this value on${units && units !== '1' ? ` (${units})` : ''}`;
  return element('div', {class: 'field'}, element('label', {for: 'limit'}, text), field);
}
