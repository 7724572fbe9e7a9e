'use strict';
// What leads up and down from each node; which of them matter most. Notes of each node its depth,
// and how it was derived.
const makeTree = (data) => {
  const up = data.nodes.map(() => []), down = data.nodes.map(() => []);
  for (const [from, to, how, meta] of data.edges) {
    up[to].push({ node: from, how, meta });
    down[from].push({ node: to, how, meta });
  }
  // By first parents: how far each is from a beginning, and how many descend from it.
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
  // Those with tags come first, then those from which most descend.
  const weights = data.nodes.map((node, place) => (node.tags.length ? 1e9 : 0) + below[place]);
  const byWeight = weights.map((_, place) => place)
    .sort((a, b) => weights[b] - weights[a] || a - b);
  return { up, down, byWeight };
};
