//! Promise: the models of the demo find their families again, whatever their names and order; what
//! was made by a function is recognised as that; strangers stay strangers; a store finds the place
//! of what arrives, also when it is large, and when an older program has left no sketches.

use std::path::{Path, PathBuf};

use crate::common::{Random, add, new_store, write};
use mgit::half::bf16;
use mgit::infer::{
    BaseVerdict, CLAIMED_FROM, Kinship, Member, Origin, Parent, arrange, arrange_in, arrange_lines,
    place,
};
use mgit::interchange::ModelSource;
use mgit::{Dtype, How, NewModel, NewTensor, OnChildren, Shape};

fn demo() -> Option<Vec<(String, Option<String>, PathBuf)>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tools/mgit-db/demo");
    let text = std::fs::read(folder.join("lineage.json")).ok()?;
    let lineage: serde_json::Value = serde_json::from_slice(&text).unwrap();
    let members = lineage["members"].as_array().unwrap().iter().map(|member| {
        let text = |key: &str| member[key].as_str().map(str::to_owned);
        (text("name").unwrap(), text("parent"), folder.join(text("file").unwrap()))
    });
    Some(members.collect())
}

#[test]
fn the_demo_families_are_found_again_in_any_order() {
    let mut models = demo().expect("the demo's models");
    let mut random = Random(3);
    for _ in 0..3 {
        for at in (1..models.len()).rev() {
            models.swap(at, random.below(at + 1));
        }
        let files: Vec<ModelSource> =
            models.iter().map(|(_, _, path)| ModelSource::open(path).unwrap()).collect();
        let members = files.iter().enumerate();
        let members: Vec<Member<'_>> =
            members.map(|(at, file)| Member::source(format!("m{at}"), file).unwrap()).collect();
        let found = arrange(&members).unwrap();
        let parents = models.iter().filter(|(_, parent, _)| parent.is_some()).count();
        assert_eq!(found.len(), parents, "{found:#?}");
        for kinship in found {
            let (parent, child) = (&models[kinship.parent], &models[kinship.child]);
            let right = child.1.as_ref() == Some(&parent.0);
            let reversed = parent.1.as_ref() == Some(&child.0);
            // Two were tuned from one base on the same data, in bf16: the one that moved least went the
            // other's way, and nothing in the weights says that the other does not come from it.
            let siblings = parent.1.is_some() && parent.1 == child.1;
            assert!(right || reversed || siblings, "{} and {} are no kin", parent.0, child.0);
            assert!(right || !kinship.is_claimed(), "{} <- {}: {kinship:?}", child.0, parent.0);
        }
    }
}

/// Weights such as a trained model has: some tensors of both signs, one of ones.
fn weights(seed: u64) -> Vec<(String, Vec<f32>)> {
    let mut random = Random(seed);
    let mut normal = |scale: f32| {
        let mut unit = || (random.next() >> 40) as f32 / (1u64 << 24) as f32 - 0.5;
        (unit() + unit() + unit()) * scale
    };
    let mut tensors: Vec<(String, Vec<f32>)> = (0..6)
        .map(|at| (format!("layers.{at}.weight"), (0..64 * 64).map(|_| normal(0.1)).collect()))
        .collect();
    tensors.push(("norm.weight".into(), (0..64).map(|_| 1.0 + normal(0.01)).collect()));
    tensors
}

fn moved(tensors: &[(String, Vec<f32>)], seed: u64, by: f32) -> Vec<(String, Vec<f32>)> {
    let steps = weights(seed);
    type Named = (String, Vec<f32>);
    let tensor = |((name, a), (_, step)): (&Named, &Named)| -> Named {
        let step = step.iter().map(|step| if name.starts_with("norm") { 0.0 } else { step * by });
        (name.clone(), a.iter().zip(step).map(|(a, step)| a + step).collect())
    };
    tensors.iter().zip(&steps).map(tensor).collect()
}

fn dims(len: usize) -> Shape {
    Shape::new(&if len == 4096 { vec![64, 64] } else { vec![len as u64] }).unwrap()
}

fn model<'a>(name: &str, tensors: &'a [(String, Vec<f32>)]) -> NewModel<'a> {
    tensors.iter().fold(NewModel::new(name), |model, (name, values)| {
        let bytes = mgit::bytemuck::cast_slice(values);
        model.tensor(NewTensor::from_bytes(name, Dtype::F32, dims(values.len()), bytes))
    })
}

#[test]
fn functions_of_a_parent_are_recognised() {
    let (_home, _, store) = new_store();
    let base = weights(1);
    add(&store, model("base", &base)).unwrap();
    add(&store, model("stranger", &weights(2))).unwrap();
    add(&store, model("tuned", &moved(&base, 3, 0.01))).unwrap();

    let cast: Vec<(String, Vec<bf16>)> = base
        .iter()
        .map(|(name, values)| (name.clone(), values.iter().map(|v| bf16::from_f32(*v)).collect()))
        .collect();
    let new = cast.iter().fold(NewModel::new("cast"), |model, (name, values)| {
        let bytes = mgit::bytemuck::cast_slice(values);
        model.tensor(NewTensor::from_bytes(name, Dtype::Bf16, dims(values.len()), bytes))
    });
    add(&store, new).unwrap();

    let quantised: Vec<(String, Vec<i8>)> = base
        .iter()
        .map(|(name, values)| {
            let row = |row: &[f32]| {
                let largest = row.iter().fold(0.0f32, |max, value| max.max(value.abs()));
                row.iter().map(|v| (v / largest * 127.0).round() as i8).collect::<Vec<i8>>()
            };
            (name.clone(), values.chunks(64).flat_map(row).collect())
        })
        .collect();
    let new = quantised.iter().fold(NewModel::new("int8"), |model, (name, values)| {
        let bytes = mgit::bytemuck::cast_slice(values);
        model.tensor(NewTensor::from_bytes(name, Dtype::I8, dims(values.len()), bytes))
    });
    add(&store, new).unwrap();

    let mut pruned = base.clone();
    pruned.iter_mut().take(6).flat_map(|(_, values)| values).for_each(|value| {
        *value = if value.abs() < 0.02 { 0.0 } else { *value };
    });
    add(&store, model("pruned", &pruned)).unwrap();

    let mut merged = base.clone();
    let (left, right) = (&weights(8)[0].1, &weights(9)[0].1);
    for (at, value) in merged[1].1.iter_mut().enumerate() {
        let rank_two = |rank: usize| left[at / 64 * 2 + rank] * right[at % 64 * 2 + rank];
        *value += (rank_two(0) + rank_two(1)) * 2.0;
    }
    add(&store, model("merged", &merged)).unwrap();

    let mut headed = base.clone();
    headed.push(("classifier.weight".into(), weights(11)[0].1.clone()));
    add(&store, model("headed", &headed)).unwrap();

    let snapshot = store.snapshot().unwrap();
    let names = ["base", "stranger", "tuned", "cast", "int8", "pruned", "merged", "headed"];
    let members: Vec<Member<'_>> =
        names.iter().map(|name| Member::stored(snapshot.model(name).unwrap()).unwrap()).collect();
    let found = arrange(&members).unwrap();
    let of = |child: &str| -> &Kinship {
        let at = names.iter().position(|name| *name == child).unwrap();
        found.iter().find(|kinship| kinship.child == at).expect(child)
    };
    for (child, how) in [
        ("tuned", How::FineTune),
        ("cast", How::Cast),
        ("int8", How::Quantise),
        ("pruned", How::Prune),
        ("merged", How::LoraMerge),
        ("headed", How::FineTune),
    ] {
        let kinship = of(child);
        assert_eq!((names[kinship.parent], kinship.how), ("base", how), "{child}: {kinship:#?}");
    }
    for child in ["cast", "int8", "pruned", "headed"] {
        assert!(of(child).confidence >= CLAIMED_FROM, "{:?}", of(child));
    }
    let stranger = 1;
    assert!(found.iter().all(|kinship| kinship.parent != stranger && kinship.child != stranger));
}

#[test]
fn an_arrival_finds_its_parent_among_many() {
    let (_home, _, store) = new_store();
    // Forty families of two: more than are looked at one by one.
    let mut transaction = store.begin_write().unwrap();
    for family in 0..40 {
        let base = weights(family + 100);
        transaction.add_model(model(&format!("base{family}"), &base)).unwrap();
        let child = moved(&base, family + 300, 0.02);
        let new = model(&format!("child{family}"), &child);
        transaction.add_model(new.parent(format!("base{family}"), How::FineTune)).unwrap();
    }
    transaction.commit().unwrap();
    let snapshot = store.snapshot().unwrap();

    let (_other_home, _, other) = new_store();
    let parent = moved(&weights(117), 317, 0.02);
    let mut headed = parent.clone();
    headed.push(("head.weight".into(), weights(5)[0].1.clone()));
    add(&other, model("headed", &headed)).unwrap();
    add(&other, model("stranger", &weights(999))).unwrap();
    let other = other.snapshot().unwrap();
    let member = |name: &str| Member::stored(other.model(name).unwrap()).unwrap();

    let found = place(&snapshot, &member("headed")).unwrap();
    let (parent, kinship) = found.parent().expect("a parent");
    assert_eq!(parent.full_name(), "child17@1");
    assert!(kinship.confidence > 0.95 && found.looked_at <= 48, "{kinship:?}");
    let found = place(&snapshot, &member("stranger")).unwrap();
    assert!(found.nearest.is_none() && found.parent().is_none());
}

#[test]
fn models_that_come_together_find_each_other_first_and_then_the_store() {
    let (_home, _, store) = new_store();
    let base = weights(1);
    add(&store, model("base", &base)).unwrap();
    let snapshot = store.snapshot().unwrap();

    let (_other_home, _, other) = new_store();
    let mut headed = base.clone();
    headed.push(("head.weight".into(), weights(5)[0].1.clone()));
    let mut pruned = headed.clone();
    pruned.iter_mut().take(6).flat_map(|(_, values)| values).for_each(|value| {
        *value = if value.abs() < 0.02 { 0.0 } else { *value };
    });
    add(&other, model("headed", &headed)).unwrap();
    add(&other, model("pruned", &pruned)).unwrap();
    add(&other, model("stranger", &weights(999))).unwrap();
    let other = other.snapshot().unwrap();

    for order in [["headed", "pruned", "stranger"], ["stranger", "pruned", "headed"]] {
        let member = |name: &str| Member::stored(other.model(name).unwrap()).unwrap();
        let found = arrange_in(&snapshot, &order.map(member)).unwrap();
        let place = |name: &str| order.iter().position(|other| *other == name).unwrap();
        let parent = |name: &str| found.origins[place(name)].parent();
        let (of_headed, _) = parent("headed").expect("a parent in the store");
        assert!(matches!(of_headed, Parent::Stored(model) if model.full_name() == "base@1"));
        let (of_pruned, kinship) = parent("pruned").expect("a parent that comes too");
        assert!(matches!(of_pruned, Parent::Member(at) if at == place("headed")), "{kinship:?}");
        assert!(parent("stranger").is_none() && found.unsure.is_empty());
    }
}

#[test]
fn sketches_come_and_go_with_their_tensors() {
    use mgit::catalog::{ReadTables, Table};

    let (_home, _, store) = new_store();
    let rows = |table| store.snapshot().unwrap().tables().count(table).unwrap();
    // The tables are made with their first rows.
    assert_eq!((rows(Table::Sketches), rows(Table::Bands)), (0, 0));
    let base = weights(1);
    add(&store, model("base", &base)).unwrap();
    assert_eq!(rows(Table::Sketches), 6, "none of the norm, which is as short");
    assert_eq!(rows(Table::Bands), 18, "three for each of six tensors that tell");
    add(&store, model("again", &base)).unwrap();
    assert_eq!((rows(Table::Sketches), rows(Table::Bands)), (6, 36));
    write(&store, |t| t.remove_model("base", OnChildren::Refuse)).unwrap();
    assert_eq!((rows(Table::Sketches), rows(Table::Bands)), (6, 18));
    write(&store, |t| t.remove_model("again", OnChildren::Refuse)).unwrap();
    assert_eq!((rows(Table::Sketches), rows(Table::Bands)), (0, 0));
}

/// Versions of one name follow each other, and a child hangs on the version that it comes from.
#[test]
fn versions_of_a_name_are_a_line() {
    let (_home, _, store) = new_store();
    let base = weights(1);
    let mut made = vec![("base", base.clone())];
    for (name, seed) in [("run1", 11), ("run2", 12), ("run3", 13)] {
        let last = made.last().unwrap().1.clone();
        made.push((name, moved(&last, seed, 0.01)));
    }
    let child = moved(&made[3].1, 14, 0.004);
    made.push(("child", child));
    for (name, tensors) in &made {
        // Weights alone show that the child is near the run, not which came first.
        let base = if *name == "child" { "somebody/run3" } else { "somebody/base" };
        add(&store, model(name, tensors).metadata("base_model", base)).unwrap();
    }
    let snapshot = store.snapshot().unwrap();
    let members = || -> Vec<Member<'_>> {
        let stored = made.iter().map(|(name, _)| snapshot.model(*name).unwrap());
        stored.map(|model| Member::stored(model).unwrap()).collect()
    };
    let (_other_home, _, other) = new_store();
    let other = other.snapshot().unwrap();
    let lines = [vec![0], vec![1, 2, 3], vec![4]];
    let (found, bases) = arrange_lines(&other, members(), &lines, &[false; 5]).unwrap();
    let parent = |at: usize| match found.origins[at].parent() {
        Some((Parent::Member(parent), _)) => Some(parent),
        _ => None,
    };
    assert_eq!((0..5).map(parent).collect::<Vec<_>>(), [None, Some(0), None, None, Some(3)]);
    assert!(matches!(found.origins[3], Origin::Version { previous: 2 }));
    // What a model says of itself is no base; what comes from it by another does.
    let verdicts: Vec<_> = bases.iter().map(|base| (base.member, base.verdict)).collect();
    assert_eq!(verdicts, [(1, BaseVerdict::Agrees), (4, BaseVerdict::Agrees)]);
}
