//! The model alone: tokenizer and ONNX Runtime in this process.

use anyhow::{Context, Result, anyhow};
use ort::environment::Environment;
use ort::session::Session;
use ort::session::builder::GraphOptimizationLevel;
use ort::value::Tensor;
use ragstone_tests::install::Installation;
use std::sync::{Mutex, PoisonError};
use tokenizers::{Tokenizer, TruncationParams};

/// The default model as installed by `make install`, run by ONNX Runtime's own kernels.
pub struct Bare {
    tokenizer: Tokenizer,
    session: Session,
}

impl Bare {
    /// Loads the model, with the number of threads per run that the engine would use.
    pub fn load(install: &Installation, threads: usize) -> Result<Self> {
        let environment = environment(install)?;
        let folder = install.default_model();
        let mut tokenizer =
            Tokenizer::from_file(folder.join("tokenizer.json")).map_err(|e| anyhow!("{e}"))?;
        let truncation = TruncationParams { max_length: 256, ..TruncationParams::default() };
        tokenizer.with_padding(None).with_truncation(Some(truncation)).map_err(|e| anyhow!("{e}"))?;
        let session = Session::builder(&environment)
            .map_err(|error| anyhow!("{error}"))?
            .with_optimization_level(GraphOptimizationLevel::Level3)
            .map_err(|error| anyhow!("{error}"))?
            .with_intra_threads(threads)
            .map_err(|error| anyhow!("{error}"))?
            .with_intra_op_spinning(false)
            .map_err(|error| anyhow!("{error}"))?
            .commit_from_file(folder.join("model.onnx"))
            .map_err(|error| anyhow!("{error}"))?;
        Ok(Self { tokenizer, session })
    }

    /// Tokenizes the texts and runs them as one batch; the token states are discarded.
    pub fn run(&mut self, texts: &[&str]) -> Result<()> {
        let encoded = self.tokenizer.encode_batch_fast(texts.to_vec(), true).map_err(|e| anyhow!("{e}"))?;
        let length = encoded.iter().map(|text| text.get_ids().len()).max().context("no texts")?;
        let (mut ids, mut mask) = (Vec::new(), Vec::new());
        for text in &encoded {
            ids.extend(text.get_ids().iter().map(|id| i64::from(*id)));
            mask.extend(std::iter::repeat_n(1i64, text.get_ids().len()));
            let padding = length - text.get_ids().len();
            ids.extend(std::iter::repeat_n(0i64, padding));
            mask.extend(std::iter::repeat_n(0i64, padding));
        }
        let shape = [encoded.len(), length];
        let inputs = self.session.inputs().iter().map(|input| input.name().to_owned()).collect::<Vec<_>>();
        let mut values = Vec::new();
        for name in inputs {
            let tensor = match name.as_str() {
                "input_ids" => Tensor::from_array((shape, ids.clone()))?,
                "attention_mask" => Tensor::from_array((shape, mask.clone()))?,
                _ => Tensor::from_array((shape, vec![0i64; encoded.len() * length]))?,
            };
            values.push((name, tensor));
        }
        self.session.run(values)?;
        Ok(())
    }
}

/// The library's environment, of which a process can have only one.
fn environment(install: &Installation) -> Result<Environment> {
    static ENVIRONMENT: Mutex<Option<Environment>> = Mutex::new(None);
    let mut slot = ENVIRONMENT.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(environment) = &*slot {
        return Ok(environment.clone());
    }
    let library = install.library.join("ragstone/libonnxruntime.so");
    let environment = ort::init_from(&library)?.with_telemetry(false).build()?;
    Ok(slot.insert(environment).clone())
}
