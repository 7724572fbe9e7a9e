//! A model made once more, by its recipe.

use super::make::guarded;
use super::{Draft, Functions, Input, Inputs, Recipe, UpdateError};
use crate::lineage::NodeId;
use crate::store::Model;

/// A model that was made again.
#[derive(Debug)]
#[non_exhaustive]
pub struct Remade {
    /// What the function made now.
    pub draft: Draft,
    /// The recipe.
    pub recipe: Recipe,
}

/// Makes a model again from the inputs that its recipe names. The store does not change.
///
/// # Errors
///
/// [`UpdateError::NoRecipe`], [`UpdateError::InputGone`], [`UpdateError::NoSuchFunction`]; those
/// of the function.
pub fn remake(model: &Model, functions: &Functions) -> Result<Remade, UpdateError> {
    let (snapshot, graph) = (model.snapshot(), model.snapshot().graph());
    let recipe = Recipe::read(&graph, model.node())?
        .ok_or_else(|| UpdateError::NoRecipe { model: model.full_name() })?;
    let input = |id: NodeId| -> Result<Model, UpdateError> {
        let gone = || UpdateError::InputGone { model: model.full_name(), input: id };
        Ok(snapshot.model_of(graph.node(id)?.ok_or_else(gone)?)?)
    };
    let parents = recipe.parents.iter();
    let parents = parents.map(|it| Ok(Input { role: it.role.clone(), model: input(it.id)? }));
    let inputs = Inputs {
        parents: parents.collect::<Result<_, UpdateError>>()?,
        old: recipe.old.map(input).transpose()?,
        old_parents: recipe.old_parents.iter().map(|id| input(*id)).collect::<Result<_, _>>()?,
        parameters: recipe.parameters.clone(),
        command: recipe.command.clone(),
        seed: recipe.seed,
        making: model.full_name(),
    };
    let function = functions.get(&recipe.function)?;
    let draft = guarded(&*function, &inputs)?;
    Ok(Remade { draft, recipe })
}

impl Remade {
    /// The names of the weights that are not bit for bit those of `model`: made otherwise, not
    /// made, or made beside them. Cost: makes and hashes every tensor.
    ///
    /// # Errors
    ///
    /// Those of the function.
    pub fn differences(&self, model: &Model) -> Result<Vec<String>, UpdateError> {
        let mut different = Vec::new();
        let mut made = std::collections::HashSet::new();
        for tensor in self.draft.tensors() {
            made.insert(tensor.name().to_owned());
            let same = match model.tensor(tensor.name()) {
                Ok(stored) => {
                    tensor.is_like(&stored) && tensor.content_id()? == stored.content_id()
                }
                Err(_) => false,
            };
            if !same {
                different.push(tensor.name().to_owned());
            }
        }
        let missing = model.weights().map(|tensor| tensor.name().to_owned());
        different.extend(missing.filter(|name| !made.contains(name)));
        Ok(different)
    }
}
