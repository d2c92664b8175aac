//! Has rows cut. The engine cuts; this asks for it and takes the answers when they come, so that a worker goes on with other batches
//! while a long document is cut.

use crate::collections::catalog::collection::Collection;
use crate::collections::indexing::chunking::{Chunker, chunks_in, passages};
use crate::collections::indexing::passage::{Passage, SourceRow};
use crate::embedding::{Description, Embedder, description};
use ragstone_client::engine::client;
use ragstone_client::engine::client::Pending;
use ragstone_core::protocol::{Caller, Chunk, Model, Response};
use ragstone_pg::error::Result;
use std::collections::VecDeque;

/// How an answer is taken: [`Pending::poll`] where there is other work, [`Pending::wait_next`] where there is none.
pub type Take = fn(&mut Pending) -> Result<Option<Response>>;

/// Rows that are being cut.
pub struct Cut {
    rows: Vec<SourceRow>,
    chunks: Vec<Vec<Chunk>>,
    /// Whom the engine's work counts for.
    caller: Caller,
    stage: CutStage,
}

/// What is waited for.
enum CutStage {
    /// The description of the model.
    Description(Description),
    /// The tokens of the titles.
    Titles(Chunker, Pending),
    /// The chunks of some rows each.
    Contents(VecDeque<(Vec<usize>, Pending)>),
}

impl Cut {
    /// Begins to cut rows for a model.
    pub fn begin(rows: Vec<SourceRow>, embedder: &Embedder, dimensions: u32) -> Result<Self> {
        let stage = CutStage::Description(embedder.ask_description(dimensions)?);
        Ok(Self { chunks: vec![Vec::new(); rows.len()], rows, caller: embedder.caller(), stage })
    }

    /// Takes the answers that `take` gives, and asks for what follows from them. Returns the passages, in the order of the rows, once
    /// all rows are cut. `check` is called with the model.
    pub fn advance(
        &mut self,
        collection: &Collection,
        check: impl Fn(&Model) -> Result<()>,
        take: Take,
    ) -> Result<Option<Vec<Passage>>> {
        loop {
            let next = match &mut self.stage {
                CutStage::Description(asked) => {
                    let model = match asked {
                        Description::Known(model) => Some(model.as_ref().clone()),
                        Description::Asked(pending) => take(pending)?.map(description).transpose()?,
                    };
                    let Some(model) = model else { return Ok(None) };
                    check(&model)?;
                    measure_titles(Chunker::new(collection, &model, self.caller), &mut self.rows)?
                }
                CutStage::Titles(chunker, pending) => {
                    let Some(answer) = take(pending)? else { return Ok(None) };
                    let titles = chunks_in(answer, self.rows.len())?;
                    split_contents(chunker, &mut self.rows, Some(&titles))?
                }
                CutStage::Contents(requests) => {
                    let is_done = take_chunks(requests, &mut self.chunks, take)?;
                    return Ok(is_done.then(|| self.passages()));
                }
            };
            self.stage = next;
        }
    }

    fn passages(&mut self) -> Vec<Passage> {
        let (rows, chunks) = (std::mem::take(&mut self.rows), std::mem::take(&mut self.chunks));
        rows.into_iter().zip(chunks).flat_map(|(row, chunks)| passages(row, chunks)).collect()
    }
}

/// Cuts rows at once, and returns their passages in the order of the rows.
pub fn cut_now(chunker: &Chunker, mut rows: Vec<SourceRow>) -> Result<Vec<Passage>> {
    let mut stage = measure_titles(chunker.clone(), &mut rows)?;
    if let CutStage::Titles(chunker, pending) = &mut stage
        && let Some(answer) = pending.wait_next()?
    {
        let titles = chunks_in(answer, rows.len())?;
        stage = split_contents(chunker, &mut rows, Some(&titles))?;
    }
    let mut chunks = vec![Vec::new(); rows.len()];
    if let CutStage::Contents(mut requests) = stage {
        take_chunks(&mut requests, &mut chunks, Pending::wait_next)?;
    }
    Ok(rows.into_iter().zip(chunks).flat_map(|(row, chunks)| passages(row, chunks)).collect())
}

fn measure_titles(chunker: Chunker, rows: &mut [SourceRow]) -> Result<CutStage> {
    match chunker.title_request(rows) {
        Some(request) => Ok(CutStage::Titles(chunker, client::send(request)?)),
        None => split_contents(&chunker, rows, None),
    }
}

fn split_contents(
    chunker: &Chunker,
    rows: &mut [SourceRow],
    titles: Option<&[Vec<Chunk>]>,
) -> Result<CutStage> {
    let requests = chunker.content_requests(rows, titles).into_iter();
    let sent = requests.map(|(numbers, request)| Ok((numbers, client::send(request)?)));
    sent.collect::<Result<_>>().map(CutStage::Contents)
}

/// Takes the chunks that `take` gives. Returns whether those of all rows have come.
fn take_chunks(
    requests: &mut VecDeque<(Vec<usize>, Pending)>,
    chunks: &mut [Vec<Chunk>],
    take: Take,
) -> Result<bool> {
    let mut next = 0;
    while let Some((numbers, pending)) = requests.get_mut(next) {
        let Some(answer) = take(pending)? else {
            next += 1;
            continue;
        };
        for (row, come) in numbers.iter().zip(chunks_in(answer, numbers.len())?) {
            chunks[*row] = come;
        }
        requests.remove(next);
    }
    Ok(requests.is_empty())
}
