'use strict';
(() => {
  const byId = (id) => document.getElementById(id);
  const data = JSON.parse(byId('data').textContent);
  const canvas = byId('canvas'), world = byId('world'), panel = byId('panel');
  const nodes = [...world.querySelectorAll('.node')];
  const lines = [...world.querySelectorAll('.edge')];
  const size = { w: Number(canvas.dataset.width), h: Number(canvas.dataset.height) };
  const ROWS_FIRST = 1000;

  // What leads up and down from each node.
  const up = data.nodes.map(() => []), down = data.nodes.map(() => []);
  for (const [from, to, how, meta] of data.edges) {
    up[to].push({ node: from, how, meta });
    down[from].push({ node: to, how, meta });
  }

  // Moving and zooming.
  const view = { x: 0, y: 0, k: 1 };
  const apply = () => {
    world.setAttribute('transform', `translate(${view.x} ${view.y}) scale(${view.k})`);
    canvas.classList.toggle('far', view.k < 0.3);
  };
  const fit = () => {
    const box = canvas.getBoundingClientRect(), pad = 30;
    const k = Math.min((box.width - 2 * pad) / (size.w || 1),
      (box.height - 2 * pad) / (size.h || 1));
    view.k = Math.max(0.02, Math.min(1.25, k));
    view.x = (box.width - size.w * view.k) / 2;
    view.y = (box.height - size.h * view.k) / 2;
    apply();
  };
  const zoom = (factor, x, y) => {
    const box = canvas.getBoundingClientRect();
    const cx = x === undefined ? box.width / 2 : x - box.left;
    const cy = y === undefined ? box.height / 2 : y - box.top;
    const k = Math.max(0.02, Math.min(4, view.k * factor));
    view.x = cx - (cx - view.x) * k / view.k;
    view.y = cy - (cy - view.y) * k / view.k;
    view.k = k;
    apply();
  };
  const centre = (place) => {
    const rect = nodes[place].querySelector('.box').getBoundingClientRect();
    const box = canvas.getBoundingClientRect();
    view.x += box.left + box.width / 2 - (rect.left + rect.width / 2);
    view.y += box.top + box.height / 2 - (rect.top + rect.height / 2);
    apply();
    if (view.k < 0.6) zoom(0.9 / view.k);
  };
  canvas.addEventListener('wheel', (event) => {
    event.preventDefault();
    const step = event.deltaMode === 1 ? event.deltaY * 16 : event.deltaY;
    zoom(Math.exp(-step / 400), event.clientX, event.clientY);
  }, { passive: false });
  const held = new Map();
  let moved = 0;
  canvas.addEventListener('pointerdown', (event) => {
    if (event.button !== 0) return;
    held.set(event.pointerId, { x: event.clientX, y: event.clientY });
    moved = 0;
  });
  canvas.addEventListener('pointermove', (event) => {
    const last = held.get(event.pointerId);
    if (!last) return;
    const dx = event.clientX - last.x, dy = event.clientY - last.y;
    moved += Math.abs(dx) + Math.abs(dy);
    if (moved < 4) return;
    if (!canvas.hasPointerCapture(event.pointerId)) canvas.setPointerCapture(event.pointerId);
    canvas.classList.add('moving');
    const other = [...held].find(([id]) => id !== event.pointerId);
    if (other) {
      const [, o] = other;
      const before = Math.hypot(last.x - o.x, last.y - o.y) || 1;
      const now = Math.hypot(event.clientX - o.x, event.clientY - o.y) || 1;
      zoom(now / before, o.x, o.y);
    } else {
      view.x += dx;
      view.y += dy;
      apply();
    }
    held.set(event.pointerId, { x: event.clientX, y: event.clientY });
  });
  const release = (event) => {
    held.delete(event.pointerId);
    canvas.classList.remove('moving');
  };
  canvas.addEventListener('pointerup', release);
  canvas.addEventListener('pointercancel', release);

  // Control characters and marks that turn the direction of text are shown as escapes.
  const shown = (text) => text.replace(
    /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g,
    (character) => `\\u{${character.codePointAt(0).toString(16)}}`);
  // Elements out of text: text is never read as elements.
  const make = (tag, attributes, ...children) => {
    const element = document.createElement(tag);
    for (const [key, value] of Object.entries(attributes || {})) {
      if (key === 'onclick') element.addEventListener('click', value);
      else if (key === 'class') element.className = value;
      else element.setAttribute(key, value);
    }
    element.append(...children.filter((child) => child !== null)
      .map((child) => typeof child === 'string' ? shown(child) : child));
    return element;
  };
  const bytes = (count) => {
    if (count < 1024) return `${count} B`;
    let unit = -1;
    while (count >= 1023.995 && unit < 5) { count /= 1024; unit += 1; }
    return `${count.toFixed(2)} ${['KiB', 'MiB', 'GiB', 'TiB', 'PiB', 'EiB'][unit]}`;
  };
  const plain = (value) => typeof value === 'string' ? value : JSON.stringify(value);
  const link = (place) =>
    make('a', { onclick: () => choose(place, true) }, data.nodes[place].name);

  // Tensors of a node, each with its content.
  const tensors = (place) => {
    const list = data.lists[data.nodes[place].list], found = [];
    for (let at = 0; at < list.length; at += 3) {
      const [id, length, stored, encoding, depth] = data.contents[list[at + 2]];
      found.push({ name: data.texts[list[at]], form: data.texts[list[at + 1]],
        content: list[at + 2], id, length, stored, encoding: data.texts[encoding], depth });
    }
    return found;
  };
  // What became of each tensor of a parent: by name, equal where the content is.
  const difference = (child, parent) => {
    const old = new Map(tensors(parent).map((tensor) => [tensor.name, tensor]));
    const rows = [];
    for (const tensor of tensors(child)) {
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
  const tensorTable = (place) => table(
    [['Tensor'], ['Type, shape'], ['Bytes', 'number'], ['Stored', 'number'], ['As']],
    tensors(place).map((tensor) => [[tensor.name, 'name'], [tensor.form],
      [bytes(tensor.length), 'number'], [bytes(tensor.stored), 'number'],
      [tensor.depth ? `${tensor.encoding}, depth ${tensor.depth}` : tensor.encoding]]));
  const differenceTable = (child, parent) => {
    const rows = difference(child, parent);
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

  // What is chosen.
  let chosen = null;
  const choose = (place, show) => {
    if (chosen !== null) nodes[chosen].classList.remove('chosen');
    lines.forEach((line) => line.classList.remove('near'));
    chosen = place;
    panel.replaceChildren();
    panel.hidden = place === null;
    if (place === null) return;
    nodes[place].classList.add('chosen');
    lines.filter((line) => [line.dataset.from, line.dataset.to].includes(String(place)))
      .forEach((line) => line.classList.add('near'));
    const node = data.nodes[place];
    const facts = make('dl');
    const fact = (name, ...value) => facts.append(make('dt', {}, name), make('dd', {}, ...value));
    const linked = (ends) =>
      ends.flatMap((end, at) => at ? [', ', link(end.node)] : [link(end.node)]);
    if (node.kind) fact('kind', node.kind);
    for (const edge of up[place]) {
      const more = Object.entries(edge.meta).map(([key, value]) => `${key} = ${plain(value)}`);
      fact(edge.how === null ? 'next version of' : `${edge.how} of`, link(edge.node),
        more.length ? ` (${more.join(', ')})` : '');
    }
    const versions = down[place].filter((edge) => edge.how === null);
    const children = down[place].filter((edge) => edge.how !== null);
    if (children.length) fact('parent of', ...linked(children));
    if (versions.length) fact('followed by', ...linked(versions));
    fact('created', node.created);
    fact('size', `${node.tensors} tensors, ${bytes(node.bytes)}`);
    fact('stored',
      node.own === null ? 'its tensors cannot be read' : `${bytes(node.own)} of its own`);
    for (const [key, value] of Object.entries(node.meta)) fact(key, plain(value));
    fact('id', node.id);
    const tags = make('div', {}, ...node.tags.map((tag) => make('span', { class: 'tag' }, tag)));
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
    const first = up[place].map((edge) => tab(`Changes from ${data.nodes[edge.node].name}`,
      () => differenceTable(place, edge.node)));
    first.push(tab(`Tensors (${node.tensors})`, () => tensorTable(place)));
    panel.append(make('button', { class: 'close', title: 'Close ( Esc )',
      onclick: () => choose(null) }, '\u00d7'), make('h2', {}, node.name), tags, facts, tabs,
    content);
    panel.scrollTop = 0;
    first[0].click();
    if (show) centre(place);
  };
  const placeOf = (target) => {
    const node = target.closest && target.closest('.node');
    return node ? Number(node.dataset.node) : null;
  };
  canvas.addEventListener('click', (event) => {
    if (moved >= 4) return;
    choose(placeOf(event.target));
  });
  nodes.forEach((node, place) => {
    node.setAttribute('tabindex', '0');
    node.setAttribute('role', 'button');
    node.setAttribute('aria-label', data.nodes[place].name);
    node.addEventListener('keydown', (event) => {
      if (event.key === 'Enter' || event.key === ' ') { event.preventDefault(); choose(place); }
    });
  });

  // Searching.
  const search = byId('search'), found = byId('found');
  const haystack = data.nodes.map((node) =>
    [node.name, node.kind, node.id, ...node.tags, JSON.stringify(node.meta)]
      .join('\n').toLowerCase());
  let hits = [], next = 0;
  search.addEventListener('input', () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    hits = [];
    nodes.forEach((node, place) => {
      const is = words.length > 0 && words.every((word) => haystack[place].includes(word));
      node.classList.toggle('hit', is);
      if (is) hits.push(place);
    });
    next = 0;
    canvas.classList.toggle('searching', words.length > 0);
    found.textContent = words.length ? `${hits.length} found` : '';
  });
  search.addEventListener('keydown', (event) => {
    if (event.key === 'Enter' && hits.length) {
      choose(hits[next % hits.length], true);
      found.textContent = `${next % hits.length + 1} of ${hits.length}`;
      next += 1;
    }
    if (event.key === 'Escape') {
      search.value = '';
      search.dispatchEvent(new Event('input'));
      search.blur();
    }
    event.stopPropagation();
  });
  document.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const act = { '/': () => search.focus(), '0': fit, '+': () => zoom(1.25), '=': () => zoom(1.25),
      '-': () => zoom(0.8), Escape: () => choose(null) }[event.key];
    if (act) { event.preventDefault(); act(); }
  });
  byId('fit').addEventListener('click', fit);
  byId('in').addEventListener('click', () => zoom(1.25));
  byId('out').addEventListener('click', () => zoom(0.8));
  let ownFit = true;
  window.addEventListener('resize', () => { if (ownFit) fit(); });
  canvas.addEventListener('wheel', () => { ownFit = false; }, { passive: true });
  canvas.addEventListener('pointermove', () => { if (held.size) ownFit = false; });
  fit();
  document.documentElement.dataset.ready = 'yes';
})();
