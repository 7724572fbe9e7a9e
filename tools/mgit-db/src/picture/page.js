'use strict';
// The picture on a page. `details(place, picture)` gives what the panel shows of a chosen model.
const startPicture = (details, searched = () => {}) => {
  const { byId, make, shown } = Elements;
  // The scale below which the boxes' own texts are too small to be read.
  const NEAR = 0.7;
  const canvas = byId('canvas'), world = byId('world'), panel = byId('panel');
  const state = { view: null, isFar: false, boxes: [], names: [], order: [], strong: new Set() };
  let data = { nodes: [], edges: [] }, tree = null, nodes = [], lines = [];
  let chosen = null, hits = null;

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
      [...tree.up[chosen], ...tree.down[chosen]].map((edge) => edge.node);
    const before = [...(chosen === null ? [] : [chosen]), ...(hits || []).slice(0, 2000), ...near];
    state.order = [...new Set([...before, ...(hits ? [] : tree.byWeight)])];
    state.strong = new Set(before);
    names.update(state);
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
  const facts = (place) => factsOf(data, tree, place, (other) => choose(other, true));
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
      '=': () => view.zoom(1.25), '-': () => view.zoom(0.8),
      Escape: () => choose(null) }[event.key];
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
    tree = makeTree(data);
    state.boxes = nodes.map((node) => {
      const [x, y] = node.getAttribute('transform').match(/[-\d.]+/g).map(Number);
      const rect = node.querySelector('.box');
      const [w, h] = ['width', 'height'].map((name) => Number(rect.getAttribute(name)));
      return { x, y, w, h };
    });
    detail.load(nodes, state.boxes, lines);
    state.names = data.nodes.map((node) => shown(node.name));
    nodes.forEach((node, place) => {
      node.setAttribute('tabindex', '0');
      node.setAttribute('role', 'button');
      node.setAttribute('aria-label', data.nodes[place].name);
    });
    view.setSize(Number(canvas.dataset.width), Number(canvas.dataset.height));
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
  const picture = { load, nearest, choose, facts, view, boxes: () => state.boxes,
    data: () => data, up: (place) => tree.up[place], chosen: () => chosen,
    element: (place) => nodes[place] };
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
