'use strict';
// What a page that has the lists of tensors shows of a model: its tensors, and what changed.
(() => {
  const { make, bytes } = Elements;
  const ROWS_FIRST = 1000;
  // Tensors of a node, each with its content.
  const tensors = (data, place) => {
    const list = data.lists[data.nodes[place].list], found = [];
    for (let at = 0; at < list.length; at += 3) {
      const [id, length, stored, encoding, depth] = data.contents[list[at + 2]];
      found.push({ name: data.texts[list[at]], form: data.texts[list[at + 1]],
        content: list[at + 2], id, length, stored, encoding: data.texts[encoding], depth });
    }
    return found;
  };
  // What became of each tensor of a parent: by name, equal where the content is.
  const difference = (data, child, parent) => {
    const old = new Map(tensors(data, parent).map((tensor) => [tensor.name, tensor]));
    const rows = [];
    for (const tensor of tensors(data, child)) {
      const before = old.get(tensor.name);
      old.delete(tensor.name);
      const state = !before ? 'added' : before.content !== tensor.content ? 'changed' :
        before.form !== tensor.form ? 'changed' : 'equal';
      rows.push({ state, tensor, before });
    }
    for (const before of old.values()) rows.push({ state: 'removed', tensor: before, before });
    const order = { changed: 0, added: 1, removed: 2, equal: 3 };
    const weight = (row) => row.state === 'removed' ? 0 : row.tensor.stored;
    rows.sort((a, b) => order[a.state] - order[b.state] || weight(b) - weight(a));
    return rows;
  };

  const table = (heads, rows) => {
    const body = make('tbody');
    const fill = (from, to) => body.append(...rows.slice(from, to).map((row) => make('tr', {},
      ...row.map(([text, kind]) => make('td', kind ? { class: kind } : {}, text)))));
    fill(0, ROWS_FIRST);
    const head = make('tr', {}, ...heads.map(([text, kind]) =>
      make('th', kind ? { class: kind } : {}, text)));
    const whole = make('div', {}, make('table', {}, make('thead', {}, head), body));
    if (rows.length > ROWS_FIRST) {
      const more = make('button', { onclick: () => { fill(ROWS_FIRST); more.remove(); } },
        `Show ${rows.length - ROWS_FIRST} more`);
      whole.append(more);
    }
    return whole;
  };
  const tensorTable = (data, place) => table(
    [['Tensor'], ['Type, shape'], ['Bytes', 'number'], ['Stored', 'number'], ['As']],
    tensors(data, place).map((tensor) => [[tensor.name, 'name'], [tensor.form],
      [bytes(tensor.length), 'number'], [bytes(tensor.stored), 'number'],
      [tensor.depth ? `${tensor.encoding}, depth ${tensor.depth}` : tensor.encoding]]));
  const differenceTable = (data, child, parent) => {
    const rows = difference(data, child, parent);
    const told = ['changed', 'added', 'removed', 'equal'].map((state) => {
      const those = rows.filter((row) => row.state === state);
      return those.length ? `${those.length} ${state}` : null;
    }).filter(Boolean);
    return make('div', {}, make('p', { class: 'told' }, told.join(', ') || 'no tensors'),
      table([[''], ['Tensor'], ['Type, shape'], ['Bytes', 'number'], ['Stored', 'number']],
        rows.map(({ state, tensor, before }) => [
          [state, state], [tensor.name, 'name'],
          [before && before.form !== tensor.form ? `${before.form} \u2192 ${tensor.form}` :
            tensor.form],
          [bytes(tensor.length), 'number'],
          [state === 'equal' || state === 'removed' ? '' : bytes(tensor.stored), 'number']])));
  };

  startPicture((place, picture) => {
    const data = picture.data();
    const tabs = make('div', { class: 'tabs' }), content = make('div', { id: 'content' });
    const tab = (name, build) => {
      const button = make('button', { onclick: () => {
        tabs.querySelectorAll('button').forEach((other) => other.classList.remove('on'));
        button.classList.add('on');
        content.replaceChildren(build());
      } }, name);
      tabs.append(button);
      return button;
    };
    const first = picture.up(place).map((edge) =>
      tab(`Changes from ${data.nodes[edge.node].name}`,
        () => differenceTable(data, place, edge.node)));
    first.push(tab(`Tensors (${data.nodes[place].tensors})`, () => tensorTable(data, place)));
    first[0].click();
    return [...picture.facts(place), tabs, content];
  });
  document.documentElement.dataset.ready = 'yes';
})();
