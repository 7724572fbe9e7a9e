'use strict';
// The picture on a page. `details(place, picture)` gives what the panel shows of a chosen model.
const startPicture = (details, searched = () => {}) => {
  const { byId, make, shown } = Elements;
  // The scale below which the boxes' own texts are too small to be read.
  const NEAR = 0.7;
  const canvas = byId('canvas'), world = byId('world'), panel = byId('panel');
  const state = { view: null, isFar: false, boxes: [], names: [], order: [], strong: new Set() };
  let data = { nodes: [], edges: [] }, nodes = [], lines = [], up = [], down = [];
  let chosen = null, hits = null, weights = [], byWeight = [];

  const names = makeNames(canvas, byId('names'));
  const detail = makeDetail(canvas);
  const see = () => {
    state.isFar = state.view.k < NEAR;
    canvas.classList.toggle('farthest', state.view.k < NEAR / 6);
    detail.update(state.view, state.isFar);
    names.update(state);
  };
  const view = makeView(canvas, world, see);
  state.view = view.view;

  // The order in which names are drawn: the chosen one, hits, what is near it, the rest by weight.
  const arrange = () => {
    const near = chosen === null ? [] :
      [...up[chosen], ...down[chosen]].map((edge) => edge.node);
    const before = [...(chosen === null ? [] : [chosen]), ...(hits || []).slice(0, 2000), ...near];
    state.order = [...new Set([...before, ...(hits ? [] : byWeight)])];
    state.strong = new Set(before);
    names.update(state);
  };
  // How many descend from each by first parents and versions; how far each is from a beginning.
  const measure = () => {
    const parent = up.map((edges) => edges.length ? edges[0].node : -1);
    const depth = up.map(() => -1), below = up.map(() => 0);
    parent.forEach((_, place) => {
      const way = [];
      let at = place;
      while (at >= 0 && depth[at] < 0 && way.length <= parent.length) {
        way.push(at);
        at = parent[at];
      }
      let next = at >= 0 ? depth[at] + 1 : 0;
      while (way.length) { depth[way.pop()] = next; next += 1; }
    });
    const order = depth.map((_, place) => place).sort((a, b) => depth[b] - depth[a]);
    for (const place of order) if (parent[place] >= 0) below[parent[place]] += below[place] + 1;
    data.nodes.forEach((node, place) => {
      node.depth = depth[place];
      const first = up[place].find((edge) => edge.how !== null);
      node.how = first ? first.how : up[place].length ? 'next version' : 'beginning';
    });
    weights = data.nodes.map((node, place) => (node.tags.length ? 1e9 : 0) + below[place]);
    byWeight = weights.map((_, place) => place).sort((a, b) => weights[b] - weights[a] || a - b);
  };

  const pick = byId('colours'), legend = byId('legend');
  const paint = () => {
    const { classes, legend: entries } = Colours.paint(nodes, data.nodes, pick.value);
    legend.replaceChildren(...entries.map((entry) => make('button', {
      class: `swatch ${entry.kind}`, title: 'Mark these models',
      onclick: () => mark(classes.flatMap((kind, place) => kind === entry.kind ? [place] : [])),
    }, `${entry.word || '""'} (${entry.count})`)));
    if (chosen !== null) nodes[chosen].classList.add('chosen');
  };
  pick.append(...Object.entries(Colours.WAYS).map(([key, way]) =>
    make('option', { value: key }, way.name)));
  pick.addEventListener('change', () => {
    paint();
    mark(null);
  });

  const mark = (those) => {
    (hits || []).forEach((place) => nodes[place].classList.remove('hit'));
    hits = those;
    (hits || []).forEach((place) => nodes[place].classList.add('hit'));
    canvas.classList.toggle('searching', hits !== null);
    arrange();
  };
  const choose = (place, show) => {
    if (chosen !== null && nodes[chosen]) nodes[chosen].classList.remove('chosen');
    world.querySelectorAll('.near').forEach((line) => line.classList.remove('near'));
    const wasOpen = !panel.hidden;
    chosen = place;
    panel.replaceChildren();
    panel.hidden = place === null;
    if (place !== null) {
      nodes[place].classList.add('chosen');
      lines.filter((line) => [line.dataset.from, line.dataset.to].includes(String(place)))
        .forEach((line) => line.classList.add('near'));
      panel.append(make('button', { class: 'close', title: 'Close ( Esc )',
        onclick: () => choose(null) }, '\u00d7'), ...details(place, picture));
      panel.scrollTop = 0;
    }
    arrange();
    // The panel that opens may have covered what was clicked.
    if (place !== null && (show || (!wasOpen && isHidden(place)))) {
      view.centre(state.boxes[place], show);
    }
    // The address leads here again; a file has none to be handed on.
    if (location.protocol !== 'file:') {
      const name = place === null ? '' : `#${encodeURIComponent(data.nodes[place].name)}`;
      history.replaceState(null, '', location.pathname + location.search + name);
    }
  };
  // Whether it is not wholly on the screen.
  const isHidden = (place) => {
    const box = state.boxes[place], { x, y, k } = view.view;
    const left = box.x * k + x, top = box.y * k + y;
    return left < 0 || top < 0 || left + box.w * k > canvas.clientWidth ||
      top + box.h * k > canvas.clientHeight;
  };
  const link = (place) =>
    make('a', { href: '#', onclick: (event) => { event.preventDefault(); choose(place, true); } },
      data.nodes[place].name);
  // The facts that every page shows of a model.
  const facts = (place) => {
    const node = data.nodes[place], list = make('dl');
    const fact = (name, ...value) => list.append(make('dt', {}, name), make('dd', {}, ...value));
    const linked = (ends) => {
      const some = ends.slice(0, 50);
      const links = some.flatMap((end, at) => at ? [', ', link(end.node)] : [link(end.node)]);
      return some.length < ends.length ? [...links, ` and ${ends.length - some.length} more`] : links;
    };
    if (node.kind) fact('kind', node.kind);
    for (const edge of up[place]) {
      const more = Object.entries(edge.meta).map(([key, value]) =>
        `${key} = ${Elements.plain(value)}`);
      fact(edge.how === null ? 'next version of' : `${edge.how} of`, link(edge.node),
        more.length ? ` (${more.join(', ')})` : '');
    }
    const versions = down[place].filter((edge) => edge.how === null);
    const children = down[place].filter((edge) => edge.how !== null);
    if (children.length) fact('parent of', ...linked(children));
    if (versions.length) fact('followed by', ...linked(versions));
    fact('created', node.created);
    fact('size', `${node.tensors} tensors, ${Elements.bytes(node.bytes)}`);
    if (node.own !== null) {
      fact('stored', node.own === 'damaged' ? 'its tensors cannot be read' :
        `${Elements.bytes(node.own)} of its own`);
    }
    for (const [key, value] of Object.entries(node.meta || {})) fact(key, Elements.plain(value));
    fact('id', node.id);
    const tags = make('div', {}, ...node.tags.map((tag) => make('span', { class: 'tag' }, tag)));
    return [make('h2', {}, node.name), tags, list];
  };

  const placeOf = (target) => {
    const node = target.closest && target.closest('.node');
    return node ? Number(node.dataset.node) : null;
  };
  canvas.addEventListener('click', (event) => {
    // A link that is opened elsewhere is the browser's.
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    if (!view.wasMoved()) choose(placeOf(event.target));
  });
  canvas.addEventListener('keydown', (event) => {
    const place = placeOf(event.target);
    if (place === null || (event.key !== 'Enter' && event.key !== ' ')) return;
    event.preventDefault();
    choose(place);
  });
  const search = makeSearch((those) => { mark(those); searched(those); },
    (place) => choose(place, true));
  document.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.closest && event.target.closest('input, select, textarea')) return;
    const act = { '/': search.focus, '0': view.fitAll, '+': () => view.zoom(1.25),
      '=': () => view.zoom(1.25), '-': () => view.zoom(0.8), Escape: () => choose(null) }[event.key];
    if (act) { event.preventDefault(); act(); }
  });
  byId('fit').addEventListener('click', view.fitAll);
  byId('in').addEventListener('click', () => view.zoom(1.25));
  byId('out').addEventListener('click', () => view.zoom(0.8));

  // Takes up what the page holds now.
  const load = (found) => {
    data = found;
    chosen = null;
    hits = null;
    nodes = [...world.querySelectorAll('.node')];
    lines = [...world.querySelectorAll('.edge')];
    up = data.nodes.map(() => []);
    down = data.nodes.map(() => []);
    for (const [from, to, how, meta] of data.edges) {
      up[to].push({ node: from, how, meta });
      down[from].push({ node: to, how, meta });
    }
    state.boxes = nodes.map((node) => {
      const [x, y] = node.getAttribute('transform').match(/[-\d.]+/g).map(Number);
      const rect = node.querySelector('.box');
      return { x, y, w: Number(rect.getAttribute('width')), h: Number(rect.getAttribute('height')) };
    });
    detail.load(nodes, state.boxes, lines);
    state.names = data.nodes.map((node) => shown(node.name));
    nodes.forEach((node, place) => {
      node.setAttribute('tabindex', '0');
      node.setAttribute('role', 'button');
      node.setAttribute('aria-label', data.nodes[place].name);
    });
    view.setSize(Number(canvas.dataset.width), Number(canvas.dataset.height));
    measure();
    paint();
    arrange();
    search.load(data.nodes);
    canvas.classList.add('ready');
  };
  // The one nearest to the middle of what is seen.
  const nearest = () => {
    const { x, y, k } = view.view;
    const mx = (canvas.clientWidth / 2 - x) / k, my = (canvas.clientHeight / 2 - y) / k;
    let best = null, least = Infinity;
    state.boxes.forEach((box, place) => {
      const far = Math.hypot(box.x + box.w / 2 - mx, box.y + box.h / 2 - my);
      if (far < least) { least = far; best = place; }
    });
    return best;
  };
  const picture = { load, nearest, choose, facts, link, view, boxes: () => state.boxes, data: () => data,
    up: (place) => up[place], chosen: () => chosen, element: (place) => nodes[place] };
  document.documentElement.classList.add('live');
  load(JSON.parse(byId('data').textContent));
  view.fitAll();
  const goToHash = () => {
    let name = location.hash.slice(1);
    try { name = decodeURIComponent(name); } catch { /* It is no name then. */ }
    const place = name ? data.nodes.findIndex((node) => node.name === name) : -1;
    if (place >= 0) choose(place, true);
  };
  window.addEventListener('hashchange', goToHash);
  goToHash();
  return picture;
};
