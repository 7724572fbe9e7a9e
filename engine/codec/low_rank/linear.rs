//! The little linear algebra that finding factors needs, in `f64`.

/// Eigenvalues of a symmetric matrix of `n * n` numbers, the largest first, by Jacobi's rotations.
#[expect(clippy::indexing_slicing, reason = "loops over the matrix's own places")]
pub(super) fn eigenvalues(matrix: &mut [f64], n: usize) -> Vec<f64> {
    for _ in 0..12 {
        let off: f64 = (0..n)
            .flat_map(|i| (0..i).map(move |j| (i, j)))
            .map(|(i, j)| matrix[i * n + j] * matrix[i * n + j])
            .sum();
        let diagonal: f64 = (0..n).map(|i| matrix[i * n + i] * matrix[i * n + i]).sum();
        if off <= diagonal * 1e-28 {
            break;
        }
        for p in 0..n {
            for q in p + 1..n {
                let apq = matrix[p * n + q];
                if apq == 0.0 {
                    continue;
                }
                let theta = (matrix[q * n + q] - matrix[p * n + p]) / (2.0 * apq);
                let t = theta.signum() / (theta.abs() + (theta * theta + 1.0).sqrt());
                let c = 1.0 / (t * t + 1.0).sqrt();
                let s = t * c;
                for k in 0..n {
                    let (kp, kq) = (matrix[k * n + p], matrix[k * n + q]);
                    matrix[k * n + p] = c * kp - s * kq;
                    matrix[k * n + q] = s * kp + c * kq;
                }
                for k in 0..n {
                    let (pk, qk) = (matrix[p * n + k], matrix[q * n + k]);
                    matrix[p * n + k] = c * pk - s * qk;
                    matrix[q * n + k] = s * pk + c * qk;
                }
            }
        }
    }
    let mut values: Vec<f64> = (0..n).map(|i| matrix[i * n + i]).collect();
    values.sort_by(|a, b| b.total_cmp(a));
    values
}

/// Makes the columns of `matrix`, `rank` of them, orthonormal; rows lie one after the other.
/// Columns that depend on others become zero.
#[expect(clippy::indexing_slicing, reason = "loops over the matrix's own places")]
pub(super) fn orthonormalise(matrix: &mut [f64], rank: usize) {
    let rows = matrix.len() / rank.max(1);
    for k in 0..rank {
        let norm_of = |matrix: &[f64]| -> f64 {
            (0..rows).map(|i| matrix[i * rank + k].powi(2)).sum::<f64>().sqrt()
        };
        let before = norm_of(matrix);
        // Twice is enough.
        for l in (0..k).chain(0..k) {
            let dot: f64 = (0..rows).map(|i| matrix[i * rank + k] * matrix[i * rank + l]).sum();
            for i in 0..rows {
                matrix[i * rank + k] -= dot * matrix[i * rank + l];
            }
        }
        let norm = norm_of(matrix);
        let scale = if norm > before * 1e-12 { 1.0 / norm } else { 0.0 };
        for i in 0..rows {
            matrix[i * rank + k] *= scale;
        }
    }
}

/// Solves the normal equations `gram * x = right` of a least-squares fit, in place of `right`, by
/// Cholesky's method; leaves `right` and says no when they are singular.
#[expect(clippy::indexing_slicing, reason = "loops over the matrix's own places")]
pub(super) fn solve(gram: &mut [f64], right: &mut [f64]) -> bool {
    let n = right.len();
    for i in 0..n {
        for j in 0..=i {
            let dot: f64 = (0..j).map(|k| gram[i * n + k] * gram[j * n + k]).sum();
            let rest = gram[i * n + j] - dot;
            if i == j {
                if rest <= gram[i * n + i] * 1e-13 || !rest.is_finite() {
                    return false;
                }
                gram[i * n + i] = rest.sqrt();
            } else {
                gram[i * n + j] = rest / gram[j * n + j];
            }
        }
    }
    for i in 0..n {
        let dot: f64 = (0..i).map(|k| gram[i * n + k] * right[k]).sum();
        right[i] = (right[i] - dot) / gram[i * n + i];
    }
    for i in (0..n).rev() {
        let dot: f64 = (i + 1..n).map(|k| gram[k * n + i] * right[k]).sum();
        right[i] = (right[i] - dot) / gram[i * n + i];
    }
    true
}
