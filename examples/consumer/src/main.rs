//! Keeps a model and a fine-tune of it, and reads them from several threads.

use mgit::{Dtype, How, NewModel, NewTensor, Shape, Store, bytemuck};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::temp_dir().join(format!("consumer-{}.mgit", std::process::id()));
    let store = Store::create(&path)?;
    let base: Vec<f32> = (0..1000u16).map(f32::from).collect();
    let tuned: Vec<f32> = base.iter().map(|weight| weight + 0.5).collect();
    let shape = Shape::new(&[10, 100])?;

    let mut transaction = store.begin_write()?;
    for (name, parent, weights) in [("base", None, &base), ("tuned", Some("base"), &tuned)] {
        let bytes = bytemuck::cast_slice(weights);
        let tensor = NewTensor::from_bytes("w", Dtype::F32, shape.clone(), bytes);
        let mut model = NewModel::new(name).tensor(tensor);
        if let Some(parent) = parent {
            model = model.parent(parent, How::FineTune);
        }
        transaction.add_model(model)?;
    }
    transaction.commit()?;

    // A store is Send and Sync: threads share it by reference.
    std::thread::scope(|scope| {
        for (name, weights) in [("base", &base), ("tuned", &tuned)] {
            let store = &store;
            scope.spawn(move || {
                let view = store.snapshot()?.model(name)?.tensor("w")?.view()?;
                assert_eq!(view.as_slice::<f32>()?, &weights[..]);
                println!("{name}: {} bytes, mapped: {}", view.len(), view.is_mapped());
                mgit::store::Result::Ok(())
            });
        }
    });
    std::fs::remove_file(path)?;
    Ok(())
}
