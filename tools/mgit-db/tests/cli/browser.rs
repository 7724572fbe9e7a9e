//! Promise: the page of `graph --format html` works in a real browser: it shows every model, asks
//! no network, answers clicks, searches and the wheel, and shows hostile text as text.
//!
//! Needs a browser of the Chromium family (`MGIT_BROWSER`, or in the path); skips without one.
//! `MGIT_SCREENSHOTS=FOLDER` keeps pictures of what it saw.

use crate::common::Sandbox;
use crate::common::browser::{self, Browser};
use mgit::{Dtype, How, NewModel, NewTensor, Shape, Store};
use serde_json::json;

const HOSTILE: &str = "</script><img src=x onerror=\"window.hurt=1\">'\"&<b>";

fn browser() -> Option<Browser> {
    let program = browser::find();
    if program.is_none() {
        println!("skipped: no browser of the Chromium family is installed");
    }
    program.map(|program| Browser::start(&program))
}

/// A tree of `count` models with versions and merges; each changes one tensor of its parent's.
fn big_store(sandbox: &Sandbox, count: usize) {
    let store = Store::create(sandbox.path("s")).unwrap();
    let mut transaction = store.begin_write().unwrap();
    for at in 0..count {
        let name = |at: usize| format!("family/m{at}");
        let changed = [(at % 250) as u8 + 1; 64];
        let tensor = |name: &str, bytes: &'static [u8; 64]| {
            NewTensor::from_bytes(name, Dtype::U8, Shape::new(&[64]).unwrap(), bytes)
        };
        let head = NewTensor::from_bytes("head", Dtype::U8, Shape::new(&[8, 8]).unwrap(), &changed);
        let mut new = NewModel::new(name(at)).kind(["bert", "t5", HOSTILE][at % 3]);
        new = new.tensor(tensor("embed", &[0; 64])).tensor(tensor("layer", &[9; 64])).tensor(head);
        if at > 0 {
            new = new.parent(name((at - 1) / 3), How::ALL[at % 9]);
        }
        if at % 10 == 9 {
            new = new.parent(name(at - 5), How::Merge);
        }
        if at == 100 {
            new = new.metadata("note", HOSTILE).metadata(HOSTILE, "needle");
        }
        transaction.add_model(new).unwrap();
    }
    for at in 0..count / 20 {
        transaction.add_model(NewModel::new(format!("family/m{at}"))).unwrap();
    }
    transaction.set_tag("published", "family/m7@1").unwrap();
    transaction.commit().unwrap();
}

#[test]
fn a_page_of_three_hundred_models_answers() {
    let Some(mut browser) = browser() else { return };
    let sandbox = Sandbox::new();
    big_store(&sandbox, 290);
    let document = sandbox.json(&["graph", "s", "-o", "family.html"]);
    assert_eq!((&document["models"], &document["format"]), (&json!(304), &json!("html")));
    browser.open(&sandbox.path("family.html"));
    assert_eq!(browser.value("document.querySelectorAll('.node').length"), 304);
    // Small as the boxes are, some names can be read; colours have a legend.
    browser.wait_for("document.querySelectorAll('#names text').length > 10");
    assert_eq!(browser.value("document.querySelectorAll('#legend button').length"), 4);
    browser.screenshot("graph-304.png");

    // All of it is to be seen; a click shows a model.
    let node = "[aria-label='family/m7@1'] .box";
    let at = browser.middle(node);
    assert!(at.0 > 0.0 && at.0 < 1280.0 && at.1 > 0.0 && at.1 < 800.0, "{at:?}");
    browser.click(at);
    let text = |selector: &str| format!("document.querySelector({selector:?}).textContent");
    assert_eq!(browser.value(&text("#panel h2")), "family/m7@1");
    assert_eq!(browser.value(&text("#panel .tag")), "published");
    assert_eq!(browser.value(&text("#panel .told")), "1 changed, 2 equal");
    assert_eq!(browser.value(&text("#panel tbody tr .name")), "head");
    let all = "[...document.querySelectorAll('#panel .tabs button')].map((b) => b.textContent)";
    assert_eq!(browser.value(all), json!(["Changes from family/m2@1", "Tensors (3)"]));
    let tab = browser.middle("#panel .tabs button:last-child");
    browser.click(tab);
    assert_eq!(browser.value("document.querySelectorAll('#panel tbody tr').length"), 3);

    // Following a link to the parent, and away with all of it.
    let link = browser.middle("#panel dd a");
    browser.click(link);
    assert_eq!(browser.value(&text("#panel h2")), "family/m2@1");
    assert_eq!(browser.value("document.querySelectorAll('.node.chosen').length"), 1);
    browser.press("Escape", 27);
    assert_eq!(browser.value("document.getElementById('panel').hidden"), true);

    // Zooming towards the pointer leaves what is below it there; dragging is no click.
    browser.press("0", 48);
    let before = browser.middle(node);
    let width = format!("document.querySelector({node:?}).getBoundingClientRect().width");
    let narrow = browser.value(&width).as_f64().unwrap();
    browser.turn_wheel(before, -400.0);
    browser.wait_for(&format!("{width} > {narrow} * 1.5"));
    let after = browser.middle(node);
    assert!((before.0 - after.0).abs() < 2.0 && (before.1 - after.1).abs() < 2.0);
    browser.drag(after, (after.0 + 60.0, after.1 + 40.0));
    let dragged = browser.middle(node);
    assert!((dragged.0 - after.0 - 60.0).abs() < 2.0, "{after:?} {dragged:?}");
    assert_eq!(browser.value("document.getElementById('panel').hidden"), true);

    // Searching: by metadata, with Enter to go there.
    browser.press("/", 191);
    browser.write("needle");
    assert_eq!(browser.value(&text("#found")), "1 found");
    assert_eq!(browser.value(&text("#hits button")), "family/m100@1");
    browser.press("Enter", 13);
    assert_eq!(browser.value(&text("#panel h2")), "family/m100@1");
    browser.screenshot("graph-304-chosen.png");
    let shown = browser.value(&text("#panel dl"));
    assert!(shown.as_str().unwrap().contains(HOSTILE), "{shown}");

    assert_eq!(browser.value("typeof window.hurt"), "undefined");
    assert_eq!(browser.value("document.querySelectorAll('img').length"), 0);
    let (troubles, requests) = browser.troubles_and_requests();
    assert!(troubles.is_empty(), "{troubles:#?}");
    assert_eq!(requests.len(), 1, "{requests:?}");
    assert!(requests[0].starts_with("file://"), "{requests:?}");
}

#[test]
fn an_empty_store_is_an_empty_page() {
    let Some(mut browser) = browser() else { return };
    let sandbox = Sandbox::with_store();
    sandbox.ok(&["graph", "s", "-o", "family.html"]);
    browser.open(&sandbox.path("family.html"));
    assert_eq!(browser.value("document.querySelectorAll('.node').length"), 0);
    assert!(browser.troubles_and_requests().0.is_empty());
}
