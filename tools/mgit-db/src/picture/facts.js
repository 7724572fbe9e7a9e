'use strict';
// The facts that every page shows of a model. `go` is asked to go to another one.
const factsOf = (data, tree, place, go) => {
  const { make, bytes, plain } = Elements;
  const LINKS_MAX = 50;
  const node = data.nodes[place], list = make('dl');
  const fact = (name, ...value) => list.append(make('dt', {}, name), make('dd', {}, ...value));
  const link = (other) => make('a', { href: '#', onclick: (event) => {
    event.preventDefault();
    go(other);
  } }, data.nodes[other].name);
  const linked = (edges) => {
    const links = edges.slice(0, LINKS_MAX)
      .flatMap((edge, at) => at ? [', ', link(edge.node)] : [link(edge.node)]);
    const rest = edges.length - LINKS_MAX;
    return rest > 0 ? [...links, ` and ${rest} more`] : links;
  };
  if (node.kind) fact('kind', node.kind);
  for (const edge of tree.up[place]) {
    const more = Object.entries(edge.meta).map(([key, value]) => `${key} = ${plain(value)}`);
    fact(edge.how === null ? 'next version of' : `${edge.how} of`, link(edge.node),
      more.length ? ` (${more.join(', ')})` : '');
  }
  const versions = tree.down[place].filter((edge) => edge.how === null);
  const children = tree.down[place].filter((edge) => edge.how !== null);
  if (children.length) fact('parent of', ...linked(children));
  if (versions.length) fact('followed by', ...linked(versions));
  fact('created', node.created);
  fact('size', `${node.tensors} tensors, ${bytes(node.bytes)}`);
  if (node.own !== null) {
    const own = node.own === 'damaged' ? null : `${bytes(node.own)} of its own`;
    fact('stored', own || 'its tensors cannot be read');
  }
  for (const [key, value] of Object.entries(node.meta)) fact(key, plain(value));
  fact('id', node.id);
  const tags = make('div', {}, ...node.tags.map((tag) => make('span', { class: 'tag' }, tag)));
  return [make('h2', {}, node.name), tags, list];
};
