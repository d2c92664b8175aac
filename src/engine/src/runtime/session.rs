//! A session of the ONNX Runtime library, with any execution provider.

use std::{borrow::Cow, path::Path};

use ort::{
    environment::Environment,
    ep::ExecutionProviderDispatch,
    session::{Session, SessionInputValue, builder::GraphOptimizationLevel},
    value::TensorRef,
};

use super::{BatchLimits, Runtime, TokenBatch};
use crate::model::pooling::TokenStates;

/// How a session runs.
pub(super) struct SessionOptions {
    pub name: &'static str,
    pub batch_limits: BatchLimits,
    pub threads: usize,
    pub provider: Option<ExecutionProviderDispatch>,
}

/// A graph ready to run.
pub(super) struct GraphSession {
    name: &'static str,
    batch_limits: BatchLimits,
    session: Session,
    inputs: Vec<String>,
    output: String,
}

impl GraphSession {
    /// Reads and optimises the graph.
    pub(super) fn open(library: &Environment, graph: &Path, options: SessionOptions) -> Result<Self, String> {
        let text = |error: &dyn std::fmt::Display| error.to_string();
        let mut builder = Session::builder(library)
            .map_err(|error| text(&error))?
            .with_optimization_level(GraphOptimizationLevel::Level3)
            .map_err(|error| text(&error))?
            .with_intra_threads(options.threads)
            .map_err(|error| text(&error))?
            .with_inter_threads(1)
            .map_err(|error| text(&error))?
            // Spinning threads would use the processors that PostgreSQL needs.
            .with_intra_op_spinning(false)
            .map_err(|error| text(&error))?;
        if let Some(provider) = options.provider {
            builder = builder.with_execution_providers([provider]).map_err(|error| text(&error))?;
        }
        let session = builder.commit_from_file(graph).map_err(|error| text(&error))?;
        let inputs = session.inputs().iter().map(|input| input.name().to_owned()).collect();
        let output = choose_output(&session)?;
        Ok(Self { name: options.name, batch_limits: options.batch_limits, session, inputs, output })
    }
}

impl Runtime for GraphSession {
    fn name(&self) -> &'static str {
        self.name
    }

    fn batch_limits(&self) -> BatchLimits {
        self.batch_limits
    }

    fn run(&mut self, batch: &TokenBatch, read: &mut dyn FnMut(TokenStates<'_>)) -> Result<(), String> {
        let mut inputs: Vec<(Cow<'_, str>, SessionInputValue<'_>)> = Vec::with_capacity(self.inputs.len());
        for name in &self.inputs {
            let values = batch.input(name).ok_or_else(|| format!("unknown input \"{name}\" of the graph"))?;
            let tensor =
                TensorRef::from_array_view((batch.shape(), values)).map_err(|error| error.to_string())?;
            inputs.push((name.as_str().into(), tensor.into()));
        }
        let outputs = self.session.run(inputs).map_err(|error| error.to_string())?;
        let output = outputs.get(&self.output).ok_or_else(|| format!("no output \"{}\"", self.output))?;
        let (shape, values) = output.try_extract_tensor::<f32>().map_err(|error| error.to_string())?;
        read(TokenStates { shape, values });
        Ok(())
    }
}

/// The token states by their usual name, else the first output with three axes, else the first with two.
fn choose_output(session: &Session) -> Result<String, String> {
    let outputs = session.outputs();
    let axes = |wanted: usize| {
        let fits =
            |output: &&ort::value::Outlet| output.dtype().tensor_shape().is_some_and(|s| s.len() == wanted);
        outputs.iter().find(fits)
    };
    let named = outputs.iter().find(|output| output.name() == "last_hidden_state");
    let chosen = named.or_else(|| axes(3)).or_else(|| axes(2));
    chosen.map(|output| output.name().to_owned()).ok_or_else(|| {
        let names: Vec<&str> = outputs.iter().map(|output| output.name()).collect();
        format!("no output of the graph is a tensor of token states or embeddings: {}", names.join(", "))
    })
}
