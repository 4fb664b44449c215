/** Form controls: a list of choices, and a search field with suggestions that a keyboard and a screen reader can use. */

const MOST = 60; // suggestions shown at a time

/** An element with attributes and children. */
export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith('on')) made.addEventListener(name.slice(2), value);
    else if (value === true) made.setAttribute(name, '');
    else if (value !== false && value != null) made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

let count = 0;

/** A labelled list of choices; `groups` is `[[group, [{key, label}]]]`, a group without a name stands alone. */
export function choice(label, groups, chosen, onChange) {
  const id = `choice-${count++}`;
  const select = element('select', {id, onchange: () => onChange(select.value)});
  for (const [group, entries] of groups) {
    const options = entries.map(({key, label: text}) => element('option', {value: key, selected: key === chosen}, text));
    select.append(...(group ? [element('optgroup', {label: group}, ...options)] : options));
  }
  return element('div', {class: 'field'}, element('label', {for: id}, label), select);
}

/**
 * A search field over names, an ARIA combobox with a list box.
 *
 * @param {string} label of the field.
 * @param {string[]} names to search in.
 * @param {string} chosen name.
 * @param {(name: string) => void} onChange hears of a chosen name.
 */
export function search(label, names, chosen, onChange) {
  const id = `search-${count++}`;
  const list = element('ul', {id: `${id}-list`, role: 'listbox', 'aria-label': label, hidden: true});
  const input = element('input', {
    id, type: 'text', role: 'combobox', autocomplete: 'off', spellcheck: 'false', 'aria-autocomplete': 'list',
    'aria-expanded': 'false', 'aria-controls': list.id,
  });
  input.value = chosen;
  let found = [];
  let active = -1;

  const close = () => {
    list.hidden = true;
    input.setAttribute('aria-expanded', 'false');
    input.removeAttribute('aria-activedescendant');
  };
  const take = (name) => {
    close();
    input.value = name;
    if (name !== chosen) {
      chosen = name;
      onChange(name);
    }
  };
  const mark = (next) => {
    active = next;
    [...list.children].forEach((item, i) => item.setAttribute('aria-selected', String(i === active)));
    const item = list.children[active];
    if (item?.id) {
      input.setAttribute('aria-activedescendant', item.id);
      item.scrollIntoView({block: 'nearest'});
    }
  };
  const open = (words) => {
    found = names.filter((name) => words.every((word) => name.toLowerCase().includes(word)));
    const items = found.slice(0, MOST).map((name, i) =>
      element('li', {id: `${id}-${i}`, role: 'option', onmousedown: (event) => {
        event.preventDefault();
        take(name);
      }}, name));
    const rest = found.length - items.length;
    if (rest > 0) items.push(element('li', {class: 'more', role: 'presentation'}, `and ${rest} more: type on`));
    if (!found.length) items.push(element('li', {class: 'more', role: 'presentation'}, 'none found'));
    list.replaceChildren(...items);
    list.hidden = false;
    input.setAttribute('aria-expanded', 'true');
    mark(found.length ? Math.max(0, found.indexOf(chosen)) : -1);
  };

  input.addEventListener('input', () => open(input.value.toLowerCase().split(/\s+/).filter(Boolean)));
  input.addEventListener('focus', () => input.select());
  input.addEventListener('click', () => open([]));
  input.addEventListener('blur', () => {
    close();
    input.value = chosen;
  });
  input.addEventListener('keydown', (event) => {
    const shown = Math.min(found.length, MOST);
    if (event.key === 'ArrowDown' || event.key === 'ArrowUp') {
      event.preventDefault();
      if (list.hidden) open([]);
      else if (shown) mark((active + (event.key === 'ArrowDown' ? 1 : -1) + shown) % shown);
    } else if (event.key === 'Enter' && !list.hidden && found[active]) {
      event.preventDefault();
      take(found[active]);
    } else if (event.key === 'Escape') {
      close();
      input.value = chosen;
    }
  });
  return element('div', {class: 'field search'}, element('label', {for: id}, `${label} (${names.length})`), input, list);
}

/** A table with a caption; a cell is a text, or `[text, value]` with the full value for a tooltip. */
export function table(caption, header, rows, bars = false) {
  const body = rows.map((row) => element('tr', {}, ...row.map((cell, i) => {
    const [text, value] = Array.isArray(cell) ? cell : [cell, null];
    const attributes = {scope: i ? null : 'row', 'data-value': value == null || Number.isNaN(value) ? null : String(value)};
    const made = element(i ? 'td' : 'th', attributes, text);
    if (bars && i === 1 && value >= 0) made.style.setProperty('--share', `${Math.min(1, value) * 100}%`);
    return made;
  })));
  return element('table', {class: bars ? 'bars' : null},
    element('caption', {}, caption),
    element('thead', {}, element('tr', {}, ...header.map((text) => element('th', {scope: 'col'}, text)))),
    element('tbody', {}, ...body));
}
