//! How wide the matrix is that a chunk is a part of: found in the difference itself.
//!
//! Rows of a matrix of low rank resemble each other, up to a factor that may be negative. So the
//! products of a window with the one a row further on are larger than chance, and those of
//! neighbouring windows have the same sign unless a row ends between them.

use super::Columns;
use super::fit::dot;

/// Widths are multiples of this.
const WIDTH_STEP: usize = 16;
/// The largest width that is looked for.
const WIDTH_MAX: usize = 1 << 15;
/// Elements of a window.
const WINDOW: usize = 256;
/// Windows that every width is asked for, and those that say more.
const FEW_WINDOWS: usize = 64;
const MANY_WINDOWS: usize = 1024;
/// How much larger than chance the square of a product is, on the mean, where it means something.
const ALIKE: f32 = 0.25;
/// A part of a width's likeness that a smaller one needs to be believed instead.
const AS_ALIKE: f32 = 0.6;
/// Fewer elements are no matrix.
const ELEMENTS_MIN: usize = 1 << 12;
/// Chunks begin at multiples of so many elements.
const START_STEP: usize = 1 << 14;

/// The columns that a chunk lies in, whose differences from the parent, over the scale of their
/// block, are given.
#[inline(always)]
pub(super) fn find(differences: &[f32]) -> Option<Columns> {
    if differences.len() < ELEMENTS_MIN {
        return None;
    }
    let mut squares = Vec::with_capacity(differences.len() + 1);
    let mut sum = 0f64;
    squares.push(sum);
    for difference in differences {
        sum += f64::from(difference * difference);
        squares.push(sum);
    }
    let most = WIDTH_MAX.min(differences.len() / 4);
    let mut best = (0, ALIKE);
    for width in (WIDTH_STEP..=most).step_by(WIDTH_STEP) {
        let alike = likeness(differences, &squares, width, FEW_WINDOWS);
        if alike > best.1 {
            best = (width, alike);
        }
    }
    let (widest, _) = best;
    let least = (AS_ALIKE * likeness(differences, &squares, widest, MANY_WINDOWS)).max(ALIKE);
    // Where rows are alike, so are those that are some rows apart.
    let parts = (WIDTH_STEP..=widest).step_by(WIDTH_STEP).filter(|w| widest.is_multiple_of(*w));
    let mut alike = parts.filter(|w| likeness(differences, &squares, *w, MANY_WINDOWS) >= least);
    let width = alike.next()?;
    Some(Columns { width, phase: phase(differences, width) })
}

/// By how much more than chance windows are like those `width` elements further on: 0 for noise.
#[inline(always)]
fn likeness(differences: &[f32], squares: &[f64], width: usize, windows: usize) -> f32 {
    let len = WINDOW.min(width);
    let Some(room) = differences.len().checked_sub(width + len).filter(|_| width > 0) else {
        return 0.0;
    };
    let energy = |at: usize| -> f64 {
        squares.get(at + len).copied().unwrap_or(0.0) - squares.get(at).copied().unwrap_or(0.0)
    };
    let (mut sum, mut seen) = (0f64, 0u32);
    for window in 0..windows {
        let (at, other) = (room * window / windows, room * window / windows + width);
        let chance = energy(at) * energy(other) / len as f64;
        if chance > 0.0 {
            let product = dot(
                differences.get(at..at + len).unwrap_or_default(),
                differences.get(other..other + len).unwrap_or_default(),
            );
            sum += f64::from(product) * f64::from(product) / chance;
            seen += 1;
        }
    }
    if seen as usize * 8 < windows { 0.0 } else { (sum / f64::from(seen)) as f32 - 1.0 }
}

/// The column of the first element.
#[inline(always)]
fn phase(differences: &[f32], width: usize) -> usize {
    let cell = 1 << width.trailing_zeros().min(START_STEP.trailing_zeros());
    let cells = width / cell;
    if cells == 1 {
        return 0;
    }
    let products: Vec<f32> = differences
        .chunks_exact(cell)
        .zip(differences.get(width..).unwrap_or_default().chunks_exact(cell))
        .map(|(one, below)| dot(one, below))
        .collect();
    let mut sums = vec![[0f32; 3]; cells];
    for (at, (before, here)) in products.iter().zip(products.iter().skip(1)).enumerate() {
        if let Some([both, first, second]) = sums.get_mut((at + 1) % cells) {
            *both += before * here;
            *first += before * before;
            *second += here * here;
        }
    }
    let alike = |[both, first, second]: &[f32; 3]| both / (first * second).sqrt().max(1e-30);
    let boundary = (0..cells).min_by(|a, b| {
        let of = |at: &usize| sums.get(*at).map_or(0.0, alike);
        of(a).total_cmp(&of(b))
    });
    (width - boundary.unwrap_or(0) * cell) % width
}
