//! Decides which segments of an index are worth merging.

/// A merge includes a segment if it has at most this many times the chunks of all smaller ones together. Each chunk is then
/// rewritten only a few times, even after many changes.
const GROWTH: u64 = 4;

/// Segments with up to this many chunks together are cheap to merge.
const SMALL: u64 = 64;

/// Minimum number of segments for a merge.
pub const WORTHWHILE_SEGMENTS: usize = 8;

/// All segments are worth merging if at least one in this many chunks was deleted.
const WORTHWHILE_DELETED: u64 = 10;

/// How many segments are worth merging. `docs` are their numbers of chunks, in ascending order.
///
/// Only the largest segment of the merge is compared with the sum of the smaller ones: the first of many segments of equal
/// size has none before it.
pub fn worthwhile_segments(docs: &[u64]) -> usize {
    let (mut worthwhile, mut sum) = (0, SMALL);
    for (smaller, docs) in docs.iter().enumerate() {
        if smaller + 1 >= WORTHWHILE_SEGMENTS && *docs <= sum.saturating_mul(GROWTH) {
            worthwhile = smaller + 1;
        }
        sum = sum.saturating_add(*docs);
    }
    worthwhile
}

/// True if enough chunks were deleted that all segments are worth merging. `chunks` are in segments, and `there` of them
/// still exist.
pub fn are_many_deleted(chunks: u64, there: i64) -> bool {
    let deleted = chunks.saturating_sub(there.max(0).unsigned_abs());
    deleted > 0 && deleted.saturating_mul(WORTHWHILE_DELETED) >= chunks
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(sizes: &[(usize, u64)]) -> usize {
        let docs = sizes.iter().flat_map(|(count, docs)| std::iter::repeat_n(*docs, *count));
        worthwhile_segments(&docs.collect::<Vec<_>>())
    }

    #[test]
    fn segments_of_one_size_are_merged_however_large_they_are() {
        assert_eq!(taken(&[(20, 10_000)]), 20);
        assert_eq!(taken(&[(21, 300)]), 21);
        assert_eq!(taken(&[(5, 1), (20, 10_000)]), 25);
        assert_eq!(taken(&[(8, 1)]), 8);
    }

    #[test]
    fn a_large_segment_waits_for_others_of_its_size() {
        assert_eq!(taken(&[(7, 1), (1, 1_000_000)]), 0);
        assert_eq!(taken(&[(8, 1), (1, 1_000_000)]), 8);
        assert_eq!(taken(&[(8, 1), (7, 10_000), (1, u64::MAX)]), 15);
    }

    #[test]
    fn few_segments_are_left_alone() {
        assert_eq!(taken(&[]), 0);
        assert_eq!(taken(&[(7, 1)]), 0);
    }

    #[test]
    fn segments_are_few_after_merges_and_chunks_are_seldom_written_again() {
        for size in [1, 300, 10_000] {
            let (mut docs, mut written) = (Vec::new(), 0);
            for _ in 0..2_000 {
                docs.push(size);
                docs.sort_unstable();
                let merged: u64 = docs.drain(..worthwhile_segments(&docs)).sum();
                written += merged;
                docs.extend((merged > 0).then_some(merged));
                assert!(docs.len() < 16, "{docs:?}");
            }
            assert!(written < 20 * 2_000 * size, "{written} of {size}");
        }
    }

    #[test]
    fn a_tenth_of_the_chunks_is_many() {
        assert!(!are_many_deleted(0, 0) && !are_many_deleted(100, 100) && !are_many_deleted(100, 91));
        assert!(are_many_deleted(100, 90) && are_many_deleted(1, 0));
        assert!(!are_many_deleted(100, 120), "counts may be wrong");
        assert!(are_many_deleted(u64::MAX, i64::MIN));
    }
}
