'use strict';
// The page of a family: the picture beside the list, and what is new in the store.
(() => {
  const { byId, make } = Elements;
  const EVERY_MS = 4000;
  const root = document.documentElement;
  const listTable = () => byId('list').querySelector('table');
  const filterList = (hits) => {
    const those = hits && new Set(hits);
    for (const row of listTable().tBodies[0].rows) {
      let is = !those;
      for (let at = Number(row.dataset.first); !is && at <= Number(row.dataset.last); at += 1) {
        is = those.has(at);
      }
      row.hidden = !is;
    }
  };
  const details = (place, picture) => {
    const href = picture.element(place).getAttribute('href');
    return [...picture.facts(place), make('p', {}, make('a', { class: 'open', href },
      'Its page: files, tensors, changes, how to download it'))];
  };
  const toView = (view) => {
    root.dataset.view = view;
    byId('to-picture').classList.toggle('on', view === 'picture');
    byId('to-list').classList.toggle('on', view === 'list');
  };
  byId('to-list').addEventListener('click', () => toView('list'));
  let picture = null;
  if (byId('canvas')) {
    picture = startPicture(details, filterList);
    byId('to-picture').addEventListener('click', () => toView('picture'));
    toView('picture');
  } else {
    ['to-picture', 'in', 'out', 'fit'].forEach((id) => { byId(id).hidden = true; });
    byId('colours').parentElement.hidden = true;
    byId('search').addEventListener('input', () => {
      byId('found').textContent = `${Tables.filter(listTable(), byId('search').value)} found`;
    });
    toView('list');
  }

  // What the store holds now takes the place of what is shown; what was chosen, and where it was on
  // the screen, stay.
  const redraw = async () => {
    const answer = await fetch(location.pathname, { cache: 'no-cache' });
    if (!answer.ok) throw new Error(`the server answers ${answer.status}`);
    const page = new DOMParser().parseFromString(await answer.text(), 'text/html');
    const take = (id) => byId(id).replaceChildren(...page.getElementById(id).childNodes);
    take('data');
    take('list');
    Tables.sortable(listTable());
    const told = page.querySelector('header .told');
    document.querySelector('header .told').replaceWith(told);
    if (!picture || !page.getElementById('canvas')) return;
    const old = picture.chosen() ?? picture.nearest();
    const id = old === null ? null : picture.data().nodes[old].id;
    const wasChosen = picture.chosen() !== null;
    const before = old === null ? null : picture.boxes()[old];
    const { width, height } = page.getElementById('canvas').dataset;
    Object.assign(byId('canvas').dataset, { width, height });
    take('world');
    picture.load(JSON.parse(byId('data').textContent));
    const place = picture.data().nodes.findIndex((node) => node.id === id);
    if (place < 0) { picture.choose(null); return; }
    const after = picture.boxes()[place], k = picture.view.view.k;
    picture.view.move((before.x - after.x) * k, (before.y - after.y) * k);
    if (wasChosen) picture.choose(place);
  };

  // Asks what the store's commit is, while somebody looks.
  const { base, sequence } = JSON.parse(byId('data').textContent);
  const news = byId('news');
  let known = sequence, isAsking = false;
  const tell = (...parts) => {
    news.replaceChildren(...parts);
    news.hidden = parts.length === 0;
  };
  const offer = (now) => {
    const button = make('button', { onclick: async () => {
      button.disabled = true;
      try {
        await redraw();
        known = Math.max(known, now);
        tell();
      } catch (error) {
        tell(`It cannot be shown: ${error.message}. `, button);
        button.disabled = false;
      }
    } }, 'Show it');
    tell('The store has a new commit. ', button);
  };
  const ask = async () => {
    if (document.hidden || isAsking) return;
    isAsking = true;
    try {
      const answer = await fetch(`${base}/-/commit`, { cache: 'no-store' });
      const now = answer.ok ? (await answer.json()).sequence : known;
      if (now !== known) offer(now);
    } catch {
      // The server is away: the page stays what it is, and asks again.
    } finally {
      isAsking = false;
    }
  };
  setInterval(ask, EVERY_MS);
  document.addEventListener('visibilitychange', ask);
  root.dataset.ready = 'yes';
})();
