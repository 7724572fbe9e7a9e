//! `browse`: a store in the terminal.

use std::io::{self, IsTerminal};
use std::path::PathBuf;

use ratatui::crossterm::event::{self, Event, KeyEventKind};

use crate::browse::{Browse, Step};
use crate::failure::Failure;
use crate::interrupt;
use crate::opening;
use crate::output::Output;

/// Browse a store: its models and tensors, and histograms of a tensor's values and changes.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  mgit-db browse family.mgit")]
pub struct Arguments {
    /// The store
    store: PathBuf,
}

/// Shows the store until the user has seen enough.
///
/// # Errors
///
/// Those of the store; there is no terminal.
pub fn run(arguments: &Arguments, output: &Output) -> Result<(), Failure> {
    output.refuse_json("browse, which draws on a terminal: log, show and graph print")?;
    if !io::stdin().is_terminal() || !io::stdout().is_terminal() {
        return Err(Failure::usage(
            "browse needs a terminal to draw on: log, show and graph print instead",
        ));
    }
    let store = opening::open_read_only(&arguments.store)?;
    let snapshot = store.snapshot()?;
    let title = arguments.store.display().to_string();
    let mut browse = Browse::new(&snapshot, title)?;
    let broken = |error: io::Error| Failure::io("use the terminal", &error);
    interrupt::draws(true);
    let mut terminal = ratatui::try_init().map_err(broken)?;
    let seen = loop {
        if let Err(error) = terminal.draw(|frame| browse.draw(frame)) {
            break Err(error);
        }
        match event::read() {
            Ok(Event::Key(key)) if key.kind != KeyEventKind::Release => {
                if browse.key(key) == Step::Quit {
                    break Ok(());
                }
            }
            Ok(_) => {}
            Err(error) => break Err(error),
        }
    };
    // Whatever happened, the terminal is given back.
    let restored = ratatui::try_restore();
    interrupt::draws(false);
    seen.and(restored).map_err(broken)
}
