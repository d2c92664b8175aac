//! Splits rows into chunks. The engine splits; this module sends the requests and takes the responses when
//! they arrive, so that a worker goes on with other batches while the engine splits a long document.

use crate::collections::catalog::collection::Collection;
use crate::collections::indexing::chunking::{Chunker, chunks_in};
use crate::collections::indexing::passage::{Passage, SourceRow};
use crate::collections::indexing::prefix;
use crate::embedding::{Description, Embedder, description};
use ragstone_client::engine::client;
use ragstone_client::engine::client::Pending;
use ragstone_core::chunk::title::Measured;
use ragstone_core::protocol::{Caller, Chunk, Model, Response};
use ragstone_pg::error::{Error, Result};
use std::collections::{HashMap, VecDeque};

/// How to take a response: [`Pending::poll`] if there is other work to do, [`Pending::wait_next`] if there is
/// none.
pub type Take = fn(&mut Pending) -> Result<Option<Response>>;

/// Rows that are being split.
pub struct Cut {
    rows: Vec<SourceRow>,
    /// The chunks of the rows' titles, if the titles were measured.
    titles: Vec<Vec<Chunk>>,
    chunks: Vec<Vec<Chunk>>,
    /// The caller to which the engine charges the work.
    caller: Caller,
    stage: CutStage,
}

/// The response that is awaited.
enum CutStage {
    /// The description of the model.
    Description(Description),
    /// The chunks of the titles.
    Titles(Chunker, Pending),
    /// The chunks of the contents: one request for some rows each, with the rows' indexes.
    Contents(Chunker, VecDeque<(Vec<usize>, Pending)>),
    /// The chunks of these headings.
    Headings(Chunker, Vec<String>, Pending),
}

impl Cut {
    /// Starts to split rows for a model.
    pub fn begin(rows: Vec<SourceRow>, embedder: &Embedder, dimensions: u32) -> Result<Self> {
        let stage = CutStage::Description(embedder.ask_description(dimensions)?);
        Ok(Self::new(rows, embedder.caller(), stage))
    }

    fn new(rows: Vec<SourceRow>, caller: Caller, stage: CutStage) -> Self {
        Self { titles: Vec::new(), chunks: vec![Vec::new(); rows.len()], rows, caller, stage }
    }

    /// Takes the responses that `take` returns, and sends the requests that follow from them. Returns the
    /// passages, in the order of the rows, once all rows are split. `check` is called with the model.
    pub fn advance(
        &mut self,
        collection: &Collection,
        check: impl Fn(&Model) -> Result<()>,
        take: Take,
    ) -> Result<Option<Vec<Passage>>> {
        if let CutStage::Description(asked) = &mut self.stage {
            let model = match asked {
                Description::Known(model) => Some(model.as_ref().clone()),
                Description::Asked(pending) => take(pending)?.map(description).transpose()?,
            };
            let Some(model) = model else { return Ok(None) };
            check(&model)?;
            self.stage = measure_titles(Chunker::new(collection, &model, self.caller), &mut self.rows)?;
        }
        self.cut(take)
    }

    /// As [`advance`](Self::advance), once the model is known.
    fn cut(&mut self, take: Take) -> Result<Option<Vec<Passage>>> {
        loop {
            let next = match &mut self.stage {
                CutStage::Description(_) => return Ok(None),
                CutStage::Titles(chunker, pending) => {
                    let Some(answer) = take(pending)? else { return Ok(None) };
                    self.titles = chunks_in(answer, self.rows.len())?;
                    split_contents(chunker.clone(), &mut self.rows, Some(&self.titles))?
                }
                CutStage::Contents(chunker, requests) => {
                    if !take_chunks(requests, &mut self.chunks, take)? {
                        return Ok(None);
                    }
                    let chunker = chunker.clone();
                    let headings = prefix::to_measure(&chunker, &self.titles, &self.chunks);
                    if headings.is_empty() {
                        return Ok(Some(self.passages(&chunker, &HashMap::new())));
                    }
                    let pending = client::send(chunker.heading_request(headings.clone()))?;
                    CutStage::Headings(chunker, headings, pending)
                }
                CutStage::Headings(chunker, headings, pending) => {
                    let Some(answer) = take(pending)? else { return Ok(None) };
                    let measured = chunks_in(answer, headings.len())?
                        .into_iter()
                        .map(|chunks| prefix::measured(&chunks));
                    let measured = headings.drain(..).zip(measured).collect();
                    let chunker = chunker.clone();
                    return Ok(Some(self.passages(&chunker, &measured)));
                }
            };
            self.stage = next;
        }
    }

    fn passages(&mut self, chunker: &Chunker, measured: &HashMap<String, Measured>) -> Vec<Passage> {
        let (rows, chunks) = (std::mem::take(&mut self.rows), std::mem::take(&mut self.chunks));
        let titles = std::mem::take(&mut self.titles);
        let titles = titles.iter().map(Vec::as_slice).chain(std::iter::repeat([].as_slice()));
        let cut = rows.into_iter().zip(titles).zip(chunks);
        cut.flat_map(|((row, title), chunks)| prefix::passages(chunker, row, title, chunks, measured))
            .collect()
    }
}

/// Splits rows, waiting for the engine, and returns their passages in the order of the rows.
pub fn cut_now(chunker: &Chunker, mut rows: Vec<SourceRow>) -> Result<Vec<Passage>> {
    let stage = measure_titles(chunker.clone(), &mut rows)?;
    let cut = Cut::new(rows, chunker.caller(), stage).cut(Pending::wait_next)?;
    cut.ok_or_else(|| Error::internal("rows that are not cut"))
}

fn measure_titles(chunker: Chunker, rows: &mut [SourceRow]) -> Result<CutStage> {
    match chunker.title_request(rows) {
        Some(request) => Ok(CutStage::Titles(chunker, client::send(request)?)),
        None => split_contents(chunker, rows, None),
    }
}

fn split_contents(
    chunker: Chunker,
    rows: &mut [SourceRow],
    titles: Option<&[Vec<Chunk>]>,
) -> Result<CutStage> {
    let requests = chunker.content_requests(rows, titles).into_iter();
    let sent = requests.map(|(numbers, request)| Ok((numbers, client::send(request)?)));
    let sent = sent.collect::<Result<_>>()?;
    Ok(CutStage::Contents(chunker, sent))
}

/// Takes the chunks that `take` returns. Returns true once the chunks of all rows have arrived.
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
