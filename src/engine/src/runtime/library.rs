//! Chooses the ONNX Runtime library, checks its version, and loads it once in the life of the process.

use std::{
    path::{Path, PathBuf},
    sync::Mutex,
};

use ort::environment::Environment;

use super::{Runtime, embedder::Embedder, onnxruntime, openvino};
use crate::{
    failure::Error,
    model::{
        folder::ModelFolder,
        manifest::{GRAPH, Manifest},
        text::TextEncoder,
    },
    system::{self, Bf16},
};

/// The administrator's choice of the runtime.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum RuntimeChoice {
    /// OpenVINO if it is installed, the processor is faster in bf16 and the results agree; else ONNX Runtime.
    Auto,
    /// ONNX Runtime's own kernels.
    Onnxruntime,
    /// OpenVINO or an error.
    Openvino,
}

/// The paths of the libraries, and the choice between them.
#[derive(Debug, Clone)]
pub struct LibrarySettings {
    /// The choice of the runtime.
    pub choice: RuntimeChoice,
    /// The library `libonnxruntime.so`.
    pub onnxruntime: PathBuf,
    /// The folder with OpenVINO's build of it.
    pub openvino: PathBuf,
    /// Threads of all runs together.
    pub threads: usize,
}

/// Oldest version that runs our graphs at full optimisation; 1.22 fails on them.
pub const MIN_VERSION: (u32, u32) = (1, 23);

/// The library of this process.
pub struct Library {
    settings: LibrarySettings,
    loaded: Mutex<Option<LoadedLibrary>>,
}

#[derive(Clone)]
struct LoadedLibrary {
    environment: Environment,
    description: String,
    openvino: bool,
}

/// Opens a graph with a number of threads.
type Opener<'a> = &'a dyn Fn(&Path, usize) -> Result<Box<dyn Runtime>, String>;

/// The resources that a copy of a model may use.
#[derive(Clone, Copy)]
pub struct Resources<'a> {
    /// Threads of one run.
    pub threads: usize,
    /// Frees this many times the memory that the model's files take.
    pub make_room: &'a dyn Fn(u64) -> Result<(), Error>,
}

impl Resources<'_> {
    /// The resources of a process without a memory limit.
    pub fn without_limit(threads: usize) -> Self {
        Self { threads, make_room: &|_| Ok(()) }
    }
}

/// The runtimes that the loaded library offers.
struct Openers<'a> {
    openvino: Option<Opener<'a>>,
    onnxruntime: Opener<'a>,
}

impl Library {
    /// A library that is loaded with the first model.
    pub fn new(settings: LibrarySettings) -> Self {
        Self { settings, loaded: Mutex::new(None) }
    }

    /// The library with its version, or the reason why it cannot be loaded.
    pub fn describe(&self) -> String {
        match self.load() {
            Ok(loaded) => loaded.description,
            Err(error) => error.to_string(),
        }
    }

    /// Threads of all runs together.
    pub fn threads(&self) -> usize {
        self.settings.threads
    }

    /// Opens a model whose files are verified. Uses the chosen runtime; for `auto`, the preferred runtime that fits
    /// into memory.
    ///
    /// # Errors
    /// The library cannot be used, there is no room, the graph cannot be run, or it does not compute its golden vectors.
    pub fn open(
        &self,
        folder: &ModelFolder,
        manifest: &Manifest,
        encoder: &TextEncoder,
        resources: Resources<'_>,
    ) -> Result<Embedder, Error> {
        let loaded = self.load()?;
        let openvino = |graph: &Path, threads| openvino::open(&loaded.environment, graph, threads);
        let onnxruntime = |graph: &Path, threads| onnxruntime::open(&loaded.environment, graph, threads);
        let openers = Openers {
            openvino: if loaded.openvino { Some(&openvino) } else { None },
            onnxruntime: &onnxruntime,
        };
        self.open_by(openers, folder, manifest, encoder, resources)
    }

    fn open_by(
        &self,
        openers: Openers<'_>,
        folder: &ModelFolder,
        manifest: &Manifest,
        encoder: &TextEncoder,
        resources: Resources<'_>,
    ) -> Result<Embedder, Error> {
        let open = |opener: Opener<'_>, loaded_per_stored| {
            (resources.make_room)(loaded_per_stored)?;
            let runtime = opener(&folder.graph(), resources.threads)
                .map_err(|reason| load_error(folder, manifest, loaded_per_stored, reason))?;
            let mut embedder = Embedder::new(folder, manifest.clone(), runtime);
            embedder.check_golden(encoder)?;
            Ok(embedder)
        };
        let onnxruntime = || open(openers.onnxruntime, onnxruntime::LOADED_PER_STORED);
        match openers.openvino.map(|opener| open(opener, openvino::LOADED_PER_STORED)) {
            Some(Err(error)) if self.settings.choice == RuntimeChoice::Auto => {
                eprintln!("ragstone-engine: falling back from openvino to onnxruntime: {error}");
                onnxruntime()
            }
            Some(opened) => opened,
            None => onnxruntime(),
        }
    }

    fn load(&self) -> Result<LoadedLibrary, Error> {
        let mut slot = self.loaded.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(loaded) = slot.as_ref() {
            return Ok(loaded.clone());
        }
        let loaded = self.load_chosen()?;
        *slot = Some(loaded.clone());
        Ok(loaded)
    }

    fn load_chosen(&self) -> Result<LoadedLibrary, Error> {
        let openvino = || load(&self.settings.openvino.join("libonnxruntime.so"), true);
        match self.settings.choice {
            RuntimeChoice::Onnxruntime => load(&self.settings.onnxruntime, false),
            RuntimeChoice::Openvino if system::bf16() == Bf16::Missing => {
                Err(Error::OpenVino("the processor has neither amx_bf16 nor avx512_bf16".into()))
            }
            RuntimeChoice::Openvino => openvino().map_err(|error| Error::OpenVino(error.to_string())),
            RuntimeChoice::Auto
                if system::bf16() == Bf16::Faster
                    && self.settings.openvino.join("libonnxruntime.so").exists() =>
            {
                openvino().or_else(|error| {
                    eprintln!("ragstone-engine: falling back from openvino to onnxruntime: {error}");
                    load(&self.settings.onnxruntime, false)
                })
            }
            RuntimeChoice::Auto => load(&self.settings.onnxruntime, false),
        }
    }
}

/// The error of a model that could not be loaded. The library reports a lack of memory as a C++ exception, whose name
/// it quotes.
fn load_error(folder: &ModelFolder, manifest: &Manifest, loaded_per_stored: u64, reason: String) -> Error {
    if !reason.contains("bad_alloc") {
        return folder.content_error(GRAPH, reason);
    }
    Error::Memory {
        model: folder.name().into(),
        needed: (folder.size(manifest) * loaded_per_stored) >> 20,
        used: system::resident_bytes() >> 20,
        limit: system::memory_limit() >> 20,
    }
}

fn load(path: &Path, openvino: bool) -> Result<LoadedLibrary, Error> {
    let failed = |reason: String| Error::Library { path: path.into(), reason };
    let path = std::path::absolute(path).map_err(|error| failed(error.to_string()))?;
    let version = system::onnxruntime_version(&path).map_err(failed)?;
    if !is_new_enough(&version) {
        return Err(failed(format!(
            "found version {version}, expected {}.{} or newer",
            MIN_VERSION.0, MIN_VERSION.1
        )));
    }
    let environment = ort::init_from(&path)
        .map_err(|error| failed(error.to_string()))?
        .with_telemetry(false)
        .build()
        .map_err(|error| failed(error.to_string()))?;
    let provider = if openvino { " with OpenVINO" } else { "" };
    Ok(LoadedLibrary { environment, description: format!("ONNX Runtime {version}{provider}"), openvino })
}

fn is_new_enough(version: &str) -> bool {
    let mut parts = version.split('.').map(|part| part.parse::<u32>());
    match (parts.next(), parts.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor) >= MIN_VERSION,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::{
            manifest::{GoldenVector, Pooling},
            pooling::TokenStates,
        },
        runtime::{BatchLimits, TokenBatch},
    };

    #[test]
    fn versions_are_compared_as_numbers() {
        for (version, expected) in
            [("1.22.1", false), ("1.23.0", true), ("1.100.0", true), ("2.0.0", true), ("x", false)]
        {
            assert_eq!(is_new_enough(version), expected, "{version}");
        }
    }

    #[test]
    fn a_file_that_is_no_library_is_named_in_the_error() {
        let error = load(Path::new("/dev/null"), false).err().unwrap();
        assert!(error.to_string().contains("/dev/null"), "{error}");
    }

    /// Computes the same embedding for every text.
    struct ConstantRuntime(&'static str, [f32; 2]);

    impl Runtime for ConstantRuntime {
        fn name(&self) -> &'static str {
            self.0
        }

        fn batch_limits(&self) -> BatchLimits {
            BatchLimits { tokens: 1, texts: 1 }
        }

        fn run(&mut self, _: &TokenBatch, read: &mut dyn FnMut(TokenStates<'_>)) -> Result<(), String> {
            read(TokenStates { shape: &[1, 2], values: &self.1 });
            Ok(())
        }
    }

    /// A vector at this cosine to the golden one.
    fn at(cosine: f32) -> [f32; 2] {
        [cosine, (1.0 - cosine * cosine).sqrt()]
    }

    /// The runtime that is opened if the runtimes compute vectors at these cosines to the golden vector.
    fn opened(choice: RuntimeChoice, openvino: f32, onnxruntime: f32) -> Result<&'static str, Error> {
        opened_within(u64::MAX, choice, openvino, onnxruntime)
    }

    /// Like [`opened`], for a model that may take `room` times the memory that its files take.
    fn opened_within(
        room: u64,
        choice: RuntimeChoice,
        openvino: f32,
        onnxruntime: f32,
    ) -> Result<&'static str, Error> {
        let make_room = |needed| match needed <= room {
            true => Ok(()),
            false => Err(Error::Memory { model: "m".into(), needed, used: 0, limit: room }),
        };
        let settings =
            LibrarySettings { choice, onnxruntime: PathBuf::new(), openvino: PathBuf::new(), threads: 1 };
        let manifest = Manifest {
            name: "m".into(),
            dimensions: 2,
            max_tokens: 16,
            pooling: Pooling::Mean,
            normalize: true,
            query_prefix: String::new(),
            document_prefix: String::new(),
            licence: String::new(),
            files: Default::default(),
            golden: vec![GoldenVector { text: "cat".into(), values: vec![1.0, 0.0] }],
        };
        let tokenizer = include_bytes!("../../tests/fixtures/tiny-model/tokenizer.json");
        let openers = Openers {
            openvino: Some(&|_, _| Ok(Box::new(ConstantRuntime("openvino", at(openvino))))),
            onnxruntime: &|_, _| Ok(Box::new(ConstantRuntime("onnxruntime", at(onnxruntime)))),
        };
        let encoder = TextEncoder::new(tokenizer, manifest.max_tokens).unwrap();
        let folder = ModelFolder::staged("m", Path::new("/nowhere"));
        let resources = Resources { threads: 1, make_room: &make_room };
        let embedder = Library::new(settings).open_by(openers, &folder, &manifest, &encoder, resources)?;
        Ok(embedder.runtime().name())
    }

    #[test]
    fn openvino_is_taken_where_it_agrees() {
        assert_eq!(opened(RuntimeChoice::Auto, 0.9992, 1.0).unwrap(), "openvino");
        assert_eq!(opened(RuntimeChoice::Openvino, 0.9992, 1.0).unwrap(), "openvino");
    }

    #[test]
    fn auto_falls_back_where_openvino_disagrees() {
        assert_eq!(opened(RuntimeChoice::Auto, 0.9988, 1.0).unwrap(), "onnxruntime");
    }

    #[test]
    fn auto_falls_back_where_openvino_does_not_fit() {
        assert_eq!(opened_within(5, RuntimeChoice::Auto, 1.0, 1.0).unwrap(), "openvino");
        assert_eq!(opened_within(4, RuntimeChoice::Auto, 1.0, 1.0).unwrap(), "onnxruntime");
        for (room, choice) in [(4, RuntimeChoice::Openvino), (1, RuntimeChoice::Auto)] {
            let error = opened_within(room, choice, 1.0, 1.0).unwrap_err();
            assert!(matches!(error, Error::Memory { .. }), "{error}");
            assert!(error.hint().contains("rag.engine_memory"), "{error}");
        }
    }

    #[test]
    fn openvino_by_name_is_refused_where_it_disagrees() {
        let error = opened(RuntimeChoice::Openvino, 0.9988, 1.0).unwrap_err();
        assert!(matches!(&error, Error::Golden { runtime, .. } if runtime == "openvino"), "{error}");
        assert!(error.hint().contains("rag.engine_runtime"), "{error}");
    }

    #[test]
    fn a_model_on_which_both_disagree_is_refused() {
        let error = opened(RuntimeChoice::Auto, 0.5, 0.9988).unwrap_err();
        assert!(matches!(&error, Error::Golden { runtime, .. } if runtime == "onnxruntime"), "{error}");
    }
}
