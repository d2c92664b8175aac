//! A model in memory: its files are checked, and its graph is ready to run.

use super::{Runtime, TokenBatch};
use crate::{
    failure::Error,
    model::{
        folder::ModelFolder,
        manifest::Manifest,
        pooling::{agreement, pool},
        text::{EncodedText, TextEncoder},
    },
};

/// A graph, and everything needed to turn its output into embeddings.
pub struct Embedder {
    model: String,
    manifest: Manifest,
    runtime: Box<dyn Runtime>,
}

/// Minimum agreement with the golden vectors, as a cosine. bf16 reaches 0.99999, int8 0.994.
pub const MIN_GOLDEN_COSINE: f64 = 0.999;

impl Embedder {
    /// A model whose graph is loaded.
    pub fn new(folder: &ModelFolder, manifest: Manifest, runtime: Box<dyn Runtime>) -> Self {
        Self { model: folder.name().into(), manifest, runtime }
    }

    /// The library that runs the graph.
    pub fn runtime(&self) -> &dyn Runtime {
        self.runtime.as_ref()
    }

    /// Embeddings `[texts, dimensions]`.
    ///
    /// # Errors
    /// The library's message.
    pub fn embed(&mut self, texts: &[&EncodedText]) -> Result<Vec<f32>, Error> {
        let failed = |reason| run_error(&self.model, reason);
        let batch = TokenBatch::new(texts);
        let manifest = &self.manifest;
        let mut pooled = Ok(Vec::new());
        self.runtime
            .run(&batch, &mut |states| {
                let dimensions = manifest.dimensions as usize;
                pooled = pool(states, batch.lengths(), dimensions, manifest.pooling, manifest.normalize);
            })
            .map_err(failed)?;
        pooled.map_err(failed)
    }

    /// Checks that the model computes the golden vectors of its manifest.
    ///
    /// # Errors
    /// [`Error::Golden`], or the error of the run.
    pub fn check_golden(&mut self, encoder: &TextEncoder) -> Result<(), Error> {
        for golden in self.manifest.golden.clone() {
            let tokens = encoder
                .encode(&golden.text)
                .map_err(|reason| Error::Run { model: self.model.clone(), reason })?;
            let actual = agreement(&self.embed(&[&tokens])?, &golden.values);
            if actual.is_nan() || actual < MIN_GOLDEN_COSINE {
                return Err(Error::Golden {
                    model: self.model.clone(),
                    runtime: self.runtime.name().into(),
                    expected: MIN_GOLDEN_COSINE,
                    actual,
                });
            }
        }
        Ok(())
    }
}

fn run_error(model: &str, reason: String) -> Error {
    let model = model.to_owned();
    // The messages of ONNX Runtime's arena and of the C++ library for lack of memory; neither has an error code for it.
    if ["Failed to allocate memory", "bad_alloc"].iter().any(|text| reason.contains(text)) {
        Error::RunMemory { model, reason: reason.trim_end().to_owned() }
    } else {
        Error::Run { model, reason }
    }
}
