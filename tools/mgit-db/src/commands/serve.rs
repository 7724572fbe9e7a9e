//! `serve`: stores over HTTP.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use mgit::hub::PieceCache;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::runtime::Builder;
use tokio::sync::{Notify, Semaphore};

use crate::failure::Failure;
use crate::interrupt;
use crate::output::Output;
use crate::serve::{Credentials, Limits, Mount, Site, mounts, serve};
use crate::store_search;
use crate::text::shown;

/// Serve stores to every client of the Hugging Face Hub, and to browsers.
///
/// HF_ENDPOINT set to the address that is printed makes `from_pretrained`, `snapshot_download`, `hf
/// download` and others download from the store: a model by its name (a second and later slash as a
/// dot), a revision by its version, a tag, `main` or a sha. Nothing is exported or kept: files are
/// put together as they are sent. Several stores have an endpoint each: address/NAME. A new commit
/// shows at the next request.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  mgit-db serve family.mgit
  HF_ENDPOINT=http://127.0.0.1:8420 hf download tuned --revision 3
  mgit-db serve bert=bert.mgit team=/srv/team.mgit --listen 0.0.0.0:8420 --token-env MGIT_TOKEN
  HF_ENDPOINT=http://models:8420/team HF_TOKEN=... hf download tuned

INT or TERM ends it: downloads that are running get ten seconds to finish.")]
pub struct Arguments {
    /// The stores: PATH, or NAME=PATH to be served under address/NAME [default: the one that is
    /// found]
    #[arg(value_name = "STORE")]
    stores: Vec<String>,
    /// Where to listen; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8420")]
    listen: SocketAddr,
    /// Ask for the token that this environment variable holds: `Authorization: Bearer`, as clients
    /// send it with HF_TOKEN, or as the password in a browser
    #[arg(long, value_name = "NAME")]
    token_env: Option<String>,
    /// How clients reach it, where another server is in front of it: what links begin with
    #[arg(long, value_name = "URL")]
    base_url: Option<String>,
    /// Decoded blocks that are kept in memory, in MiB
    #[arg(long, value_name = "MIB", default_value_t = 64, value_parser = clap::value_parser!(u64).range(..=1 << 20))]
    cache: u64,
    /// Answers that are being sent at the same time; others wait
    #[arg(long, value_name = "COUNT", default_value_t = 256, value_parser = clap::value_parser!(u64).range(1..=1 << 16))]
    downloads: u64,
    /// How long a client may take for a request, may take next to nothing of an answer, and waits for
    /// a place among the answers
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    patience: u64,
    /// Write a line for each request to standard error
    #[arg(long)]
    access_log: bool,
}

/// Bodies of requests that are read at the same time.
const POSTS_MAX: usize = 16;

/// Serves until it is told to end.
///
/// # Errors
///
/// Those of the stores; the address cannot be had; the token is not there.
pub fn run(arguments: &Arguments, output: &Output) -> Result<(), Failure> {
    let credentials = credentials(arguments.token_env.as_deref())?;
    let base_url = arguments.base_url.as_deref().map(checked_base).transpose()?;
    let mounts = match arguments.stores.as_slice() {
        [] => mounts(&[found()?])?,
        stores => mounts(stores)?,
    };
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let runtime = Builder::new_multi_thread()
        .worker_threads(threads.min(8))
        // They read and decode: more than the cores, since some wait for the disk.
        .max_blocking_threads(2 * threads + 2)
        .enable_all()
        .build()
        .map_err(|error| Failure::io("start threads", &error))?;
    let limits = Limits::new(arguments.downloads as usize, Duration::from_secs(arguments.patience));
    let served = runtime.block_on(async {
        let listening = |error| Failure::io(format!("listen at {}", arguments.listen), &error);
        let listener = TcpListener::bind(arguments.listen).await.map_err(listening)?;
        let address = listener.local_addr().map_err(listening)?;
        let site = Arc::new(Site {
            mounts,
            address,
            base_url,
            credentials,
            access_log: arguments.access_log,
            limits,
            cache: Arc::new(PieceCache::new(arguments.cache << 20)),
            places: Arc::new(Semaphore::new(limits.downloads)),
            posts: Arc::new(Semaphore::new(POSTS_MAX)),
        });
        tell(&site, output)?;
        let stop = Arc::new(Notify::new());
        let told = Arc::clone(&stop);
        interrupt::instead_of_ending(move || told.notify_one());
        match serve(listener, site, &stop).await {
            0 => Ok(()),
            1 => Err(Failure::failed("interrupted", "1 answer was cut off")),
            more => Err(Failure::failed("interrupted", format!("{more} answers were cut off"))),
        }
    });
    // What is read for clients that are gone need not be waited for.
    runtime.shutdown_background();
    interrupt::has_ended();
    served
}

/// The store that is served where none is named, after its own name.
fn found() -> Result<String, Failure> {
    let path = store_search::search()?.path().ok_or_else(|| store_search::nowhere(None))?;
    path.into_os_string().into_string().map_err(|path| {
        Failure::usage(format!("{}: its name is no UTF-8: name it", path.display()))
    })
}

fn credentials(variable: Option<&str>) -> Result<Credentials, Failure> {
    let Some(name) = variable else { return Ok(Credentials::default()) };
    match std::env::var(name) {
        Ok(token) if !token.trim().bytes().all(|byte| byte.is_ascii_graphic()) => {
            Err(Failure::usage(format!(
                "--token-env {name}: a token is of visible ASCII: clients could not send this one"
            )))
        }
        Ok(token) if !token.trim().is_empty() => Ok(Credentials::token(token.trim().to_owned())),
        _ => Err(Failure::usage(format!(
            "--token-env {name}: the environment variable {name} is not set, or empty: nobody could \
             ask, or everybody"
        ))),
    }
}

fn checked_base(url: &str) -> Result<String, Failure> {
    let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
    let plain = |byte: u8| byte.is_ascii_graphic() && !b"<>\"'\\?#".contains(&byte);
    match rest.is_some_and(|rest| !rest.is_empty() && rest.bytes().all(plain)) {
        true => Ok(url.trim_end_matches('/').to_owned()),
        false => Err(Failure::usage(format!(
            "--base-url {url}: write it as clients do, such as https://models.example.com"
        ))),
    }
}

/// Says where it listens, and what each store's endpoint is.
fn tell(site: &Site, output: &Output) -> Result<(), Failure> {
    let origin = site.origin(None);
    let endpoint = |mount: &Mount| format!("{origin}{}", mount.prefix);
    let stores: Vec<_> = site
        .mounts
        .iter()
        .map(|mount| json!({ "store": mount.title, "endpoint": endpoint(mount) }))
        .collect();
    let mut text = String::new();
    for mount in &site.mounts {
        text += &format!("{}: {}\n", shown(&mount.title), endpoint(mount));
    }
    text += "next: open it in a browser, or set HF_ENDPOINT to it for any client of the Hub\n";
    if !site.address.ip().is_loopback() && !site.credentials.are_asked() {
        eprintln!(
            "note: whoever reaches {} reads {}: --token-env NAME asks for a token",
            site.address,
            if site.mounts.len() == 1 { "the store" } else { "the stores" }
        );
    }
    let document = json!({ "listening": site.address.to_string(), "stores": stores });
    output.print(document, &text)
}
