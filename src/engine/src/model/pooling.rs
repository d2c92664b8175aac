//! Pools token states into one embedding per text.

use super::manifest::Pooling;

/// The graph's output for a batch.
#[derive(Debug, Clone, Copy)]
pub struct TokenStates<'a> {
    /// `[texts, tokens, dimensions]`, or `[texts, dimensions]` if the graph does the pooling.
    pub shape: &'a [i64],
    /// In row-major order.
    pub values: &'a [f32],
}

/// The embeddings `[texts, dimensions]` of a batch whose texts have `lengths` tokens, padded to the longest.
///
/// # Errors
/// The output is not of the shape that the manifest promises.
pub fn pool(
    states: TokenStates<'_>,
    lengths: &[usize],
    dimensions: usize,
    pooling: Pooling,
    normalize: bool,
) -> Result<Vec<f32>, String> {
    let mut pooled = match states.shape {
        &[texts, dims] if texts as usize == lengths.len() && dims as usize == dimensions => {
            states.values.to_vec()
        }
        &[texts, width, dims]
            if texts as usize == lengths.len()
                && Some(&(width as usize)) == lengths.iter().max()
                && dims as usize == dimensions =>
        {
            let stride = width as usize * dimensions;
            let rows =
                lengths.iter().enumerate().map(|(row, &length)| (&states.values[row * stride..], length));
            rows.flat_map(|(row, length)| pool_text(row, length, dimensions, pooling)).collect()
        }
        shape => {
            return Err(format!(
                "output of the graph: expected [{0}, {1}, {dimensions}] or [{0}, {dimensions}], actual {shape:?}",
                lengths.len(),
                lengths.iter().max().copied().unwrap_or(0)
            ));
        }
    };
    if normalize {
        pooled.chunks_exact_mut(dimensions).for_each(scale_to_one);
    }
    Ok(pooled)
}

fn pool_text(states: &[f32], length: usize, dimensions: usize, pooling: Pooling) -> Vec<f32> {
    let mut sum = states[..dimensions].to_vec();
    if pooling == Pooling::Cls {
        return sum;
    }
    for token in states[dimensions..length * dimensions].chunks_exact(dimensions) {
        sum.iter_mut().zip(token).for_each(|(sum, value)| *sum += value);
    }
    sum.iter_mut().for_each(|sum| *sum /= length as f32);
    sum
}

fn scale_to_one(vector: &mut [f32]) {
    let length = vector.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt().max(1e-12);
    vector.iter_mut().for_each(|value| *value = (f64::from(*value) / length) as f32);
}

/// Similarity of two vectors over the values that both have: their cosine if their norms are equal, otherwise less; 1
/// only for equal vectors. The formula is 1 - |a - b|² / 2|a||b|.
pub fn agreement(a: &[f32], b: &[f32]) -> f64 {
    let square = |values: &mut dyn Iterator<Item = f64>| values.map(|value| value * value).sum::<f64>();
    let common = a.len().min(b.len());
    let (a, b) = (&a[..common], &b[..common]);
    let difference = square(&mut a.iter().zip(b).map(|(a, b)| f64::from(*a) - f64::from(*b)));
    let lengths =
        square(&mut a.iter().copied().map(f64::from)) * square(&mut b.iter().copied().map(f64::from));
    1.0 - difference / (2.0 * lengths.sqrt()).max(1e-12)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATES: [f32; 8] = [3.0, 0.0, 0.0, 4.0, 9.0, 9.0, 1.0, 0.0];

    #[test]
    fn the_mean_leaves_padding_out() {
        let states = TokenStates { shape: &[2, 2, 2], values: &STATES };
        assert_eq!(pool(states, &[2, 1], 2, Pooling::Mean, false).unwrap(), [1.5, 2.0, 9.0, 9.0]);
        assert_eq!(pool(states, &[2, 1], 2, Pooling::Mean, true).unwrap()[..2], [0.6, 0.8]);
    }

    #[test]
    fn cls_is_the_first_token_of_each_text() {
        let states = TokenStates { shape: &[2, 2, 2], values: &STATES };
        assert_eq!(pool(states, &[2, 1], 2, Pooling::Cls, false).unwrap(), [3.0, 0.0, 9.0, 9.0]);
    }

    #[test]
    fn a_graph_that_pools_is_taken_as_it_is() {
        let states = TokenStates { shape: &[4, 2], values: &STATES };
        assert_eq!(pool(states, &[1, 1, 1, 1], 2, Pooling::Mean, false).unwrap(), STATES);
    }

    #[test]
    fn other_dimensions_than_promised_are_refused() {
        let states = TokenStates { shape: &[1, 2, 4], values: &STATES };
        assert!(pool(states, &[2], 2, Pooling::Mean, false).unwrap_err().contains("actual [1, 2, 4]"));
    }

    /// When OpenVINO ran out of memory, it returned the shape of an earlier batch.
    #[test]
    fn another_width_than_the_batch_has_is_refused() {
        for length in [3, 5] {
            let states = TokenStates { shape: &[1, 4, 2], values: &STATES };
            let error = pool(states, &[length], 2, Pooling::Mean, false).unwrap_err();
            assert!(error.contains(&format!("expected [1, {length}, 2]")), "{error}");
        }
    }

    #[test]
    fn agreement_is_the_cosine_of_equally_long_vectors() {
        assert!((agreement(&[0.6, 0.8], &[1.0, 0.0]) - 0.6).abs() < 1e-6);
        assert!((agreement(&[0.6, 0.8], &[0.6, 0.8]) - 1.0).abs() < 1e-12);
        assert!(agreement(&[0.6, 0.8], &[1.2, 1.6]) < 0.8);
        assert!(agreement(&[f32::NAN], &[1.0]).is_nan());
    }
}
