//! Where a model that is imported comes from: a path, or a hub, from which it is downloaded first.

use std::cell::OnceCell;
use std::path::{Path, PathBuf};

use mgit::Store;
use mgit::adoption::ModelInput;
use mgit::hub_client::{HubAdvance, HubFolder, HubModel, HubOptions, download};
use mgit::interchange::SourceOptions;
use mgit::lineage::ModelName;

use crate::failure::Failure;
use crate::interrupt;
use crate::progress::Progress;
use crate::text::quoted;

/// Where a model comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A file or folder.
    Path(PathBuf),
    /// A model of a hub.
    Hub(HubModel),
}

impl Origin {
    /// What was written on the command line: `./hub:x` is a path.
    ///
    /// # Errors
    ///
    /// An address that is none; a path at which nothing is.
    pub fn parse(written: &Path) -> Result<Self, Failure> {
        if let Some(address) = written.to_str().filter(|text| HubModel::is_address(text)) {
            let model = address.parse::<HubModel>();
            return Ok(Origin::Hub(model.map_err(|error| Failure::usage(error.to_string()))?));
        }
        ModelInput::check_there(written)?;
        Ok(Origin::Path(written.to_owned()))
    }
}

/// The name that models get to which none was given: that of the repository, if it is one, as in a
/// store that has adopted a cache of the hub.
///
/// # Errors
///
/// It is none, or not one.
pub fn name_of(origins: &[Origin]) -> Result<ModelName, Failure> {
    let repository = |origin: &Origin| match origin {
        Origin::Hub(model) => Some(model.repository().to_owned()),
        Origin::Path(_) => None,
    };
    let first = origins.first().and_then(repository);
    let same =
        first.filter(|first| origins.iter().all(|it| repository(it).as_ref() == Some(first)));
    let missing = "--name is missing: only versions of one model of a hub have its name without it";
    let name = same.ok_or_else(|| Failure::usage(missing))?;
    name.parse().map_err(|error| Failure::usage(format!("{error}: give one with --name")))
}

/// A model that is here: a path, or what came from a hub.
pub struct Came {
    /// Where it is.
    pub path: PathBuf,
    /// How it is opened.
    pub options: SourceOptions,
    /// Where it came from, for messages.
    pub shown: String,
    /// The hub that is not the usual one.
    pub endpoint: Option<String>,
    hub: Option<(HubFolder, PathBuf)>,
}

impl Came {
    /// Brings it here, beside the store, where it is not.
    ///
    /// # Errors
    ///
    /// It cannot be downloaded.
    pub fn from(origin: &Origin, options: &SourceOptions, store: &Store) -> Result<Self, Failure> {
        match origin {
            Origin::Path(path) => Ok(Came {
                path: path.clone(),
                options: options.clone(),
                shown: path.display().to_string(),
                endpoint: None,
                hub: None,
            }),
            Origin::Hub(model) => Self::from_hub(model, options, store),
        }
    }

    fn from_hub(model: &HubModel, options: &SourceOptions, store: &Store) -> Result<Self, Failure> {
        let hub = HubOptions::from_environment()?;
        let beside = folder_of(store)?;
        let place = HubFolder::place(model, &hub, &beside);
        say_when_interrupted(&place);
        let bar = OnceCell::new();
        let advance = |HubAdvance { bytes, of, .. }: HubAdvance| {
            bar.get_or_init(|| Progress::new(format!("download {model}"), of)).set(bytes);
        };
        let folder = download(model, &hub, options, &beside, &advance)?;
        Ok(Came {
            path: folder.path().to_owned(),
            options: folder.source_options(options),
            shown: format!("hub:{}@{}", model.repository(), folder.commit()),
            endpoint: (!hub.is_the_hub()).then(|| hub.endpoint().to_owned()),
            hub: Some((folder, place)),
        })
    }

    /// Says of a failure to import it that it need not come again.
    pub fn kept(&self, failure: Failure) -> Failure {
        match &self.hub {
            None => failure,
            Some((_, place)) => failure.and(&format!(
                "{} is kept in {}: the same command takes it from there",
                self.shown,
                quoted(place)
            )),
        }
    }

    /// Removes what was downloaded, once it is in the store.
    ///
    /// # Errors
    ///
    /// It cannot be removed.
    pub fn remove(self) -> Result<(), Failure> {
        if let Some((folder, _)) = self.hub {
            folder.remove()?;
            interrupt::no_last_word();
        }
        Ok(())
    }
}

/// The folder that the store's file lies in, links followed: what is downloaded is on its disk.
fn folder_of(store: &Store) -> Result<PathBuf, Failure> {
    let path = store.path();
    let real = path
        .canonicalize()
        .map_err(|error| Failure::io(format!("find the folder of {}", quoted(path)), &error))?;
    Ok(real.parent().unwrap_or(Path::new("/")).to_owned())
}

fn say_when_interrupted(place: &Path) {
    let place = place.to_owned();
    interrupt::last_word(move |_| match place.is_dir() {
        true => format!(
            "; what was downloaded is kept in {}, and the same command goes on from there",
            quoted(&place)
        ),
        false => String::new(),
    });
}
