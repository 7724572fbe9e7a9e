//! What a check of a store found.

/// How closely a store is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
// Exhaustive on purpose: whoever matches one is to be told when there is another.
pub enum VerifyDepth {
    /// Every record's header, chunk index and checksums, and every record row against them.
    Quick,
    /// Also every content id, every reference, every count, the graph, whether the change records
    /// lead to it, and every row of the other tables, as far as something tells what it must be.
    Full,
}

/// Something that is not as it must be.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct Finding {
    /// What it is about, such as `tensor 0f3a...`.
    pub subject: String,
    /// Offset of the record in the file, when it is about one.
    pub offset: Option<u64>,
    /// What is wrong.
    pub message: String,
    /// The models, `name@version`, that stand on the subject.
    pub models: Vec<String>,
}

/// What a check of a store found.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct VerifyReport {
    /// Nodes.
    pub models: u64,
    /// Records: tensors, manifests, change records.
    pub records: u64,
    /// Bytes looked at: those of the records and, in a full check, those of the contents.
    pub bytes: u64,
    /// Everything found, in the order of the file.
    pub findings: Vec<Finding>,
    /// The models all of whose contents are right.
    pub whole_models: Vec<String>,
    /// The models that have lost something.
    pub hurt_models: Vec<String>,
    /// The models that have tensors which were not pulled yet: what is here of them is right.
    pub partial_models: Vec<String>,
    /// Tensors that were not pulled yet.
    pub missing_tensors: u64,
    /// Why the catalogue could not be read, when it could not. Then the models are those that the
    /// change records name, and the whole ones are what a salvage would save.
    pub catalogue_error: Option<String>,
}

impl VerifyReport {
    /// Whether nothing was found.
    pub fn is_clean(&self) -> bool {
        self.findings.is_empty()
    }
}
