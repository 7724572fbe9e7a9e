//! The view, driven by keys and drawn into memory.

#![allow(clippy::unwrap_used)]

use mgit::{Dtype, How, NewModel, NewTensor, Shape, Store};
use ratatui::Terminal;
use ratatui::backend::TestBackend;

use super::*;

fn store() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::create(folder.path().join("s")).unwrap();
    let numbers: Vec<f32> = (0..4000).map(|at| (at as f32 / 400.0).sin()).collect();
    let moved: Vec<f32> = numbers.iter().map(|number| number + 0.25).collect();
    let bytes = |numbers: &[f32]| numbers.iter().flat_map(|n| n.to_le_bytes()).collect::<Vec<u8>>();
    let (numbers, moved) = (bytes(&numbers), bytes(&moved));
    let f32s = |name: &str, bytes| {
        NewTensor::from_bytes(name, Dtype::F32, Shape::new(&[40, 100]).unwrap(), bytes)
    };
    let odd = |name: &str| {
        NewTensor::from_bytes(name, Dtype::from_name("F128"), Shape::new(&[1]).unwrap(), &[1; 16])
    };
    let mut transaction = store.begin_write().unwrap();
    let base = NewModel::new("base").kind("bert").metadata("note", "the \u{1b}[2J first");
    let base = base.tensor(f32s("layer.weight", &numbers)).tensor(f32s("head", &numbers));
    transaction.add_model(base).unwrap();
    let child = NewModel::new("child").parent("base", How::Prune);
    let child = child.tensor(f32s("layer.weight", &moved)).tensor(f32s("head", &numbers));
    transaction.add_model(child.tensor(odd("odd"))).unwrap();
    transaction.add_model(NewModel::new("base")).unwrap();
    transaction.set_tag("best", "child").unwrap();
    transaction.commit().unwrap();
    (folder, store)
}

fn screen(browse: &mut Browse<'_>, width: u16, height: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| browse.draw(frame)).unwrap();
    terminal.backend().to_string()
}

fn press(browse: &mut Browse<'_>, codes: &[KeyCode]) {
    for code in codes {
        assert_eq!(browse.key(KeyEvent::from(*code)), Step::GoOn);
    }
}

#[track_caller]
fn has(text: &str, parts: &[&str]) {
    parts.iter().for_each(|part| assert!(text.contains(part), "{part}: {text}"));
}

#[test]
fn models_stand_below_what_they_came_from() {
    let (_folder, store) = store();
    let snapshot = store.snapshot().unwrap();
    let mut browse = Browse::new(&snapshot, "family".into()).unwrap();
    let text = screen(&mut browse, 100, 20);
    has(&text, &["base@1", "  version base@2", "  prune child@1 (best)", "3 of 3 models"]);
    has(&text, &["kind bert", "note the \\u{1b}[2J first", "tensors 2"]);
    press(&mut browse, &[KeyCode::End]);
    has(&screen(&mut browse, 100, 20), &["prune of base@1", "tag best"]);
    press(&mut browse, &[KeyCode::Home, KeyCode::Up, KeyCode::PageDown]);
    has(&screen(&mut browse, 100, 20), &["prune of base@1"]);
}

#[test]
fn a_search_shows_what_fits() {
    let (_folder, store) = store();
    let snapshot = store.snapshot().unwrap();
    let mut browse = Browse::new(&snapshot, "family".into()).unwrap();
    let keys = ['/', 'b', 'e', 's', 't', 'q'].map(KeyCode::Char);
    press(&mut browse, &keys);
    has(&screen(&mut browse, 100, 20), &["0 of 3 models", "/bestq_", "nothing fits"]);
    press(&mut browse, &[KeyCode::Backspace, KeyCode::Enter]);
    has(&screen(&mut browse, 100, 20), &["1 of 3 models", "child@1"]);
    press(&mut browse, &[KeyCode::Esc]);
    has(&screen(&mut browse, 100, 20), &["3 of 3 models"]);
    assert_eq!(browse.key(KeyEvent::from(KeyCode::Char('q'))), Step::Quit);
}

#[test]
fn a_tensor_shows_its_values_and_its_difference() {
    let (_folder, store) = store();
    let snapshot = store.snapshot().unwrap();
    let mut browse = Browse::new(&snapshot, "family".into()).unwrap();
    press(&mut browse, &[KeyCode::End, KeyCode::Enter]);
    let text = screen(&mut browse, 110, 20);
    has(&text, &["family > child@1", "since base@1", "F32 [40, 100]", "15.62 KiB"]);
    has(&text, &["~ layer.weight", "= head", "+ odd"]);
    press(&mut browse, &[KeyCode::Enter]);
    let text = screen(&mut browse, 110, 24);
    has(&text, &["child@1 > layer.weight", "4000 numbers", "difference from base@1"]);
    // Everything moved by a quarter: one column, at the quarter.
    has(&text, &["mean 0.2500", "-0.7500", "1.2500", "█"]);
    press(&mut browse, &[KeyCode::Char('s')]);
    has(&screen(&mut browse, 110, 24), &["log"]);
    press(&mut browse, &[KeyCode::Esc, KeyCode::Down, KeyCode::Enter]);
    has(&screen(&mut browse, 110, 24), &["child@1 > head", "100.0 % zero"]);
    press(&mut browse, &[KeyCode::Esc, KeyCode::Down, KeyCode::Enter]);
    has(&screen(&mut browse, 110, 24), &["F128", "no tensor of this name"]);
    press(&mut browse, &[KeyCode::Left, KeyCode::Left]);
    has(&screen(&mut browse, 110, 24), &["3 of 3 models"]);
}

#[test]
fn it_fits_into_any_terminal() {
    let (_folder, store) = store();
    let snapshot = store.snapshot().unwrap();
    let mut browse = Browse::new(&snapshot, "family".into()).unwrap();
    for _ in 0..3 {
        for (width, height) in [(1, 1), (2, 3), (20, 5), (69, 9), (400, 100)] {
            screen(&mut browse, width, height);
        }
        press(&mut browse, &[KeyCode::Enter]);
    }
}

#[test]
fn an_empty_store_can_be_looked_at() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::create(folder.path().join("s")).unwrap();
    let snapshot = store.snapshot().unwrap();
    let mut browse = Browse::new(&snapshot, "s".into()).unwrap();
    press(&mut browse, &[KeyCode::Down, KeyCode::Enter, KeyCode::End, KeyCode::Left]);
    has(&screen(&mut browse, 80, 10), &["no models yet"]);
}
