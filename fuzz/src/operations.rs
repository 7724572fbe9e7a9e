//! Everything that can be done to a store, on a disk that fails and loses its power.

use crate::common::Random;
use crate::simulation::choices::Choices;
use crate::simulation::power_cut::Medium;
use crate::simulation::session::{Session, Stop};

/// The most steps of a history.
const STEPS_MAX: usize = 40;
/// How often a history is cut off.
const CUTS: usize = 6;

/// The first byte says whether calls of the disk fail, the next four where the power goes; the
/// rest are the choices of a history: which operation, on which model, with which bytes.
///
/// Invariants checked:
///
/// - After each step the store shows what a plain model of it shows, graph and bytes, and a full
///   check of it finds nothing; held snapshots show what they did.
/// - A failing call of the disk gives a typed error, and the store opened again shows the state
///   before or after the commit that failed.
/// - After each cut the store opens, shows every commit that was promised and nothing that was not
///   tried, a full check finds nothing, and it can be written to.
pub fn operations(data: &[u8]) {
    let Some((&[faults, a, b, c, d], choices)) = data.split_first_chunk() else { return };
    let mut random = Random(u64::from(u32::from_le_bytes([a, b, c, d])));
    if let Err(stop) = history(faults % 2 == 1, choices, &mut random) {
        panic!("{}", stop.message());
    }
}

fn history(has_faults: bool, choices: &[u8], random: &mut Random) -> Result<(), Stop> {
    let mut session = Session::create(Choices::of_bytes(choices), None)?;
    session.has_faults = has_faults;
    for _ in 0..STEPS_MAX {
        if session.choices.are_spent() {
            break;
        }
        session.step()?;
        session.check()?;
    }
    let recordings = session.recordings();
    drop(session);
    for _ in 0..CUTS {
        let recording = &recordings[random.below(recordings.len())];
        let mut medium = Medium::new(recording);
        medium.advance(random.below(recording.entries.len() + 1));
        if medium.allowed().is_empty() {
            continue;
        }
        let image = medium.cut(random);
        let choices = Choices::of_seed(random.next());
        let mut session = Session::open(image.bytes, medium.allowed(), choices, None)?;
        session.check()?;
        session.commit()?;
        session.check()?;
    }
    Ok(())
}
