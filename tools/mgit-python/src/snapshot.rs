//! A commit of a store, to read.

use mgit::NodeId;
use mgit::lineage::{Direction, EdgeKind, Edges, Graph};
use pyo3::prelude::*;
use serde_json::json;

use crate::call::{long, short};
use crate::convert::{model_ref, to_python};
use crate::error::bad_value;
use crate::model::{Model, Node};
use crate::owned::Owned;

/// One commit of a store: what is read through it stays as it is.
#[pyclass(frozen, module = "mgit_store._engine")]
pub(crate) struct Snapshot(Owned<mgit::Snapshot>);

/// The edges of this name.
pub(crate) fn edges(name: &str) -> PyResult<Edges> {
    match name {
        "provenance" => Ok(Edges::Provenance),
        "version" => Ok(Edges::Version),
        "both" => Ok(Edges::Both),
        _ => {
            let message = "edges are \"provenance\", \"version\" or \"both\", not";
            Err(bad_value(format!("{message} {name:?}")))
        }
    }
}

impl Snapshot {
    pub(crate) fn new(snapshot: mgit::Snapshot) -> Self {
        Snapshot(Owned::new(snapshot))
    }

    pub(crate) fn get(&self) -> PyResult<&mgit::Snapshot> {
        self.0.get()
    }

    pub(crate) fn model_of(&self, node: mgit::Node) -> PyResult<Model> {
        Ok(Model::new(self.0.share()?, node))
    }

    /// The nodes that a question to the graph gives, as models.
    fn models_of(
        &self,
        py: Python<'_>,
        find: impl FnOnce(&Graph<'_>) -> mgit::Result<Vec<mgit::Node>> + Send,
    ) -> PyResult<Vec<Model>> {
        let snapshot = self.get()?;
        let nodes = short(py, || find(&snapshot.graph()))?;
        nodes.into_iter().map(|node| self.model_of(node)).collect()
    }
}

/// The nodes of these ids.
fn expect(graph: &Graph<'_>, ids: Vec<NodeId>) -> mgit::Result<Vec<mgit::Node>> {
    Ok(ids.into_iter().map(|id| graph.expect(id)).collect::<Result<_, _>>()?)
}

#[pymethods]
impl Snapshot {
    /// The number of the commit.
    #[getter]
    fn commit(&self) -> PyResult<u64> {
        Ok(self.get()?.sequence())
    }

    fn model(&self, py: Python<'_>, model: &str) -> PyResult<Model> {
        let snapshot = self.get()?;
        let node = short(py, || Ok(snapshot.find(model_ref(model))?))?;
        self.model_of(node)
    }

    /// All models, by name and version.
    fn models(&self, py: Python<'_>) -> PyResult<Vec<Model>> {
        self.models_of(py, |graph| {
            let mut nodes = graph.nodes()?;
            nodes.sort_by(|a, b| (a.name(), a.version()).cmp(&(b.name(), b.version())));
            Ok(nodes)
        })
    }

    /// The models that one was derived from, with how.
    fn parents(&self, py: Python<'_>, model: &str) -> PyResult<Vec<(Model, &'static str)>> {
        let snapshot = self.get()?;
        let found = short(py, || {
            let graph = snapshot.graph();
            let edges = graph.parents(graph.find(model_ref(model))?.id())?;
            let each =
                edges.into_iter().map(|edge| Ok((graph.expect(edge.parent)?, edge.how.name())));
            each.collect::<mgit::Result<Vec<_>>>()
        })?;
        found.into_iter().map(|(node, how)| Ok((self.model_of(node)?, how))).collect()
    }

    /// The models that were derived from one.
    fn children(&self, py: Python<'_>, model: &str) -> PyResult<Vec<Model>> {
        self.models_of(py, |graph| {
            let node = graph.find(model_ref(model))?;
            expect(graph, graph.children(node.id(), EdgeKind::Provenance)?)
        })
    }

    /// The version before one.
    fn previous(&self, py: Python<'_>, model: &str) -> PyResult<Option<Model>> {
        let found = self.models_of(py, |graph| {
            let node = graph.find(model_ref(model))?;
            expect(graph, graph.previous(node.id())?.into_iter().collect())
        })?;
        Ok(found.into_iter().next())
    }

    /// All versions of a model's name, in their order.
    fn versions(&self, py: Python<'_>, model: &str) -> PyResult<Vec<Model>> {
        self.models_of(py, |graph| {
            let node = graph.find(model_ref(model))?;
            expect(graph, graph.versions(&node.name().parse()?)?)
        })
    }

    /// The version and those before it, newest first.
    fn history(&self, py: Python<'_>, model: &str) -> PyResult<Vec<Model>> {
        self.models_of(py, |graph| {
            let node = graph.find(model_ref(model))?;
            Ok(graph.history(node.id()).collect::<Result<_, _>>()?)
        })
    }

    /// A walk from one model: each node once, itself left out.
    fn walk(
        &self,
        py: Python<'_>,
        model: &str,
        up: bool,
        along: &str,
        order: &str,
    ) -> PyResult<Vec<Model>> {
        let edges = edges(along)?;
        let direction = if up { Direction::Up } else { Direction::Down };
        if !["breadth", "depth", "topological"].contains(&order) {
            let message = "order is \"breadth\", \"depth\" or \"topological\", not";
            return Err(bad_value(format!("{message} {order:?}")));
        }
        self.models_of(py, |graph| {
            let node = graph.find(model_ref(model))?;
            let walk = graph.walk([node.id()], direction, edges).without_start();
            let walk = match order {
                "depth" => walk.depth_first(),
                "topological" => walk.topological(),
                _ => walk,
            };
            Ok(walk.collect::<Result<_, _>>()?)
        })
    }

    /// All models, parents before children.
    fn topological(&self, py: Python<'_>, along: &str) -> PyResult<Vec<Model>> {
        let edges = edges(along)?;
        self.models_of(py, |graph| Ok(graph.topological(edges)?.collect::<Result<_, _>>()?))
    }

    /// The models without an edge upwards, or, of leaves, downwards.
    fn ends(&self, py: Python<'_>, up: bool, along: &str) -> PyResult<Vec<Model>> {
        let edges = edges(along)?;
        self.models_of(py, |graph| {
            let ends = if up { graph.roots(edges) } else { graph.leaves(edges) };
            Ok(ends.collect::<Result<_, _>>()?)
        })
    }

    /// The nearest models that all of these descend from.
    fn common_ancestors(
        &self,
        py: Python<'_>,
        models: Vec<String>,
        along: &str,
    ) -> PyResult<Vec<Model>> {
        let edges = edges(along)?;
        self.models_of(py, |graph| {
            let nodes = models.iter().map(|model| Ok(graph.find(model_ref(model))?.id()));
            let nodes = nodes.collect::<mgit::Result<Vec<_>>>()?;
            expect(graph, graph.nearest_common_ancestors(&nodes, edges)?)
        })
    }

    /// Tags, with the models that they are set on.
    fn tags(&self, py: Python<'_>) -> PyResult<Vec<(String, Model)>> {
        let snapshot = self.get()?;
        let tags = short(py, || {
            let graph = snapshot.graph();
            let tags = graph.tags()?.into_iter();
            tags.map(|(tag, id)| Ok((tag, graph.expect(id)?))).collect::<mgit::Result<Vec<_>>>()
        })?;
        tags.into_iter().map(|(tag, node)| Ok((tag, self.model_of(node)?))).collect()
    }

    /// The tags that are set on a model.
    fn tags_of(&self, py: Python<'_>, model: &str) -> PyResult<Vec<String>> {
        let snapshot = self.get()?;
        short(py, || {
            let graph = snapshot.graph();
            Ok(graph.tags_of(graph.find(model_ref(model))?.id())?)
        })
    }

    /// Names with more than one newest version, as after a pull: their tips.
    fn diverged(&self, py: Python<'_>) -> PyResult<Vec<(String, Vec<Node>)>> {
        let snapshot = self.get()?;
        short(py, || {
            let graph = snapshot.graph();
            let each = graph.diverged()?.into_iter().map(|(name, tips)| {
                let tips = expect(&graph, tips)?;
                Ok((name.to_string(), tips.into_iter().map(Node).collect()))
            });
            each.collect()
        })
    }

    /// How two models differ: a dict of the layers, and of the files beside the weights.
    fn diff<'py>(
        &self,
        py: Python<'py>,
        a: &Model,
        b: &Model,
    ) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyAny>)> {
        let (a, b) = (a.opened(py)?, b.opened(py)?);
        let (layers, files) =
            long(py, None, |_| Ok((mgit::diff::diff(a, b)?, mgit::diff::diff_files(a, b)?)))?;
        Ok((to_python(py, &layers)?, to_python(py, &files)?))
    }

    /// What the store holds: a dict of sizes and numbers.
    fn usage<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let snapshot = self.get()?;
        let usage = long(py, None, |_| Ok(mgit::upkeep::usage(snapshot)?))?;
        let models = usage.models.iter().map(|model| {
            json!({
                "model": model.node.full_name(),
                "stored_bytes": model.stored_bytes,
                "own_bytes": model.own_bytes,
                "freed_bytes": model.freed_bytes,
            })
        });
        to_python(py, &models.collect::<Vec<_>>())
    }

    /// The tests that are registered: name and definition.
    fn tests<'py>(&self, py: Python<'py>) -> PyResult<Vec<(String, Bound<'py, PyAny>)>> {
        let snapshot = self.get()?;
        let tests = short(py, || Ok(snapshot.tests()?))?;
        tests.into_iter().map(|(name, test)| Ok((name, to_python(py, &test)?))).collect()
    }
}
